"""Ends claims whose lease is over. It never sends."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

import structlog
from campaign.plan import Finished, Planned
from chassis.clock import monotonic
from messaging import Cause, Service, Tx
from sluice_contracts.delivery import MessageUnknown, StepsFinished

from delivery.domain.books import by_sequence
from delivery.domain.entry import Known
from delivery.domain.lapse import LEASE_OVER, Claimed, Lapse, lapse
from delivery.domain.message import message_id_of
from delivery.handlers.entries import load_known
from delivery.loops.watch import Watch
from delivery.store import books, history, lapsed, locks

log = structlog.get_logger()

CLAIMS_PER_ROUND_MAX: Final = 20


class Reaper:
    """A claim that has been open here for longer than a lease and a margin is nobody's any more."""

    def __init__(self, service: Service, *, wait_seconds: float, monotonic: Callable[[], float] = monotonic) -> None:
        self._service = service
        self._claims: Watch[int] = Watch(wait_seconds, monotonic=monotonic)

    async def go_round(self) -> bool:
        """End the claims that are over; True where some are left."""
        async with self._service.pool.acquire() as conn:
            present = await lapsed.open_tokens(conn)
        over = self._claims.lapsed(present)
        for token in islice(over, CLAIMS_PER_ROUND_MAX):
            async with self._service.begin() as tx:
                await reap(tx, token)
        return len(over) > CLAIMS_PER_ROUND_MAX


async def reap(tx: Tx, token: int) -> None:
    """End one claim: each of its rows is claimable again, or its message is unknown and the next step follows."""
    await locks.share_gates(tx.conn)
    rows = await lapsed.hold(tx.conn, token)
    known = await load_known(
        tx.conn,
        {row.sequence_id for row in rows},
        versions=[(row.sequence_id, row.version) for row in rows],
    )
    lapses = [_decide(row, known, now=tx.now) for row in rows]
    unknown = [one for one in lapses if not one.released]
    await lapsed.release(tx.conn, token, [one.row.enrollment_id for one in lapses if one.released])
    await lapsed.move_on(tx.conn, token, unknown)
    await lapsed.end(tx.conn, token, [o.row.enrollment_id for o in unknown if not isinstance(o.next, Planned)])
    await lapsed.close(tx.conn, token)
    await history.append(tx.conn, [_ended(one, known, tx.now) for one in unknown])
    await books.add(tx.conn, by_sequence((one.row.sequence_id, one.books) for one in lapses))
    _say(tx, unknown, token)
    log.warning("lease_expired", token=token, released=len(lapses) - len(unknown), unknown=len(unknown))


def _decide(row: Claimed, known: Known, *, now: datetime) -> Lapse:
    gate = known.gates.get(row.sequence_id)
    return lapse(
        row,
        active_now=now if gate is None else known.active_at(row.sequence_id, now),
        newest=known.newest(row.sequence_id),
        definitions={
            version: one for (sequence, version), one in known.definitions.items() if sequence == row.sequence_id
        },
    )


def _ended(one: Lapse, known: Known, now: datetime) -> history.Ended:
    row = one.row
    gate = known.gates.get(row.sequence_id)
    return history.Ended(
        message_id=message_id_of(row.enrollment_id, row.step_id),
        enrollment_id=row.enrollment_id,
        sequence_id=row.sequence_id,
        contact_id=row.contact_id,
        step_id=row.step_id,
        version=row.version,
        channel=row.channel,
        outcome="unknown",
        code=LEASE_OVER,
        attempt=row.attempt,
        due_at=row.due_active if gate is None else row.due_active + gate.clock_offset,
        ended_at=now,
    )


def _say(tx: Tx, unknown: Sequence[Lapse], token: int) -> None:
    for one in unknown:
        row = one.row
        cause = Cause(source=tx.source, id=f"{row.enrollment_id}:{token}")
        tx.say(
            MessageUnknown(
                enrollment_id=row.enrollment_id,
                contact_id=row.contact_id,
                sequence_id=row.sequence_id,
                version=row.version,
                occurred_at=tx.now,
                message_id=message_id_of(row.enrollment_id, row.step_id),
                step_id=row.step_id,
                channel=row.channel,
                attempt=row.attempt,
                reason=LEASE_OVER,
            ),
            cause,
        )
        if isinstance(one.next, Finished):
            tx.say(
                StepsFinished(
                    enrollment_id=row.enrollment_id,
                    contact_id=row.contact_id,
                    sequence_id=row.sequence_id,
                    version=row.version,
                    occurred_at=tx.now,
                ),
                cause,
            )
