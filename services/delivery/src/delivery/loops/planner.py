"""Plans what could not be planned when it was heard, and what a newer version has outdated."""

from collections.abc import Sequence
from typing import Final

from campaign.plan import Finished
from messaging import Cause, Service, Tx
from sluice_contracts.delivery import StepsFinished

from delivery.domain.books import UNPLANNED, by_sequence
from delivery.domain.entry import Known, Replanned, Row, replan
from delivery.handlers.entries import load_known
from delivery.store import books, locks, pending, replans

ROWS_MAX: Final = 2_000


class Planner:
    """Both kinds of planning, in transactions of at most ROWS_MAX rows."""

    def __init__(self, service: Service, *, rows_max: int = ROWS_MAX) -> None:
        self._service = service
        self._rows_max = rows_max

    async def go_round(self) -> bool:
        """One transaction of each kind, where a look finds anything; True where there may be more."""
        async with self._service.pool.acquire() as conn:
            if not await pending.to_plan(conn):
                return False
        async with self._service.begin() as tx:
            planned = await plan_unplanned(tx, limit=self._rows_max)
        async with self._service.begin() as tx:
            walked = await follow_edits(tx, limit=self._rows_max)
        return walked or planned >= self._rows_max


async def plan_unplanned(tx: Tx, *, limit: int) -> int:
    """Plan rows that have no plan, of sequences whose definition is known; how many."""
    await locks.share_gates(tx.conn)
    rows = await pending.unplanned(tx.conn, limit=limit)
    if rows:
        await _plan(tx, rows, await _known(tx, rows))
    return len(rows)


async def follow_edits(tx: Tx, *, limit: int) -> bool:
    """Go a piece of the way through the queue of a sequence that has a newer version; False where there is none.

    What somebody holds is passed over: a row that was never tried is planned again by whoever claims it next, and one
    that was tried keeps its version to the end of its step.
    """
    await locks.share_gates(tx.conn)
    walk = await replans.take(tx.conn)
    if walk is None:
        return False
    rows, place = await pending.outdated(tx.conn, walk.sequence_id, version=walk.version, after=walk.after, limit=limit)
    if rows:
        await _plan(tx, rows, await _known(tx, rows))
    if len(rows) < limit:
        await replans.finish(tx.conn, walk.sequence_id)
    else:
        await replans.advance(tx.conn, walk, after=place)
    return True


async def _known(tx: Tx, rows: Sequence[Row]) -> Known:
    versions = [(row.sequence_id, row.version) for row in rows if row.version is not None]
    return await load_known(tx.conn, {(row.sequence_id, row.entered_version) for row in rows}, versions=versions)


async def _plan(tx: Tx, rows: Sequence[Row], known: Known) -> None:
    planned = [one for one in (replan(row, known) for row in rows) if one is not None]
    finished = [one for one in planned if isinstance(one.outcome, Finished)]
    await pending.replan(tx.conn, planned)
    await pending.drop(tx.conn, [one.row.enrollment_id for one in finished])
    await books.add(tx.conn, by_sequence((one.row.sequence_id, UNPLANNED) for one in finished))
    for one in finished:
        _say_finished(tx, one, known)


def _say_finished(tx: Tx, one: Replanned, known: Known) -> None:
    """The edit took the last steps away: nothing is left to send."""
    version = known.gates[one.row.sequence_id].effective(one.row.entered_version) or 0
    tx.say(
        StepsFinished(
            enrollment_id=one.row.enrollment_id,
            contact_id=one.row.contact_id,
            sequence_id=one.row.sequence_id,
            version=version,
            occurred_at=tx.now,
        ),
        Cause(source=tx.source, id=f"{one.row.enrollment_id}:{version}"),
    )
