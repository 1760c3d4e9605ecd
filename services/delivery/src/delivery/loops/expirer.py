"""Ends what a resume does not send any more, in batches, while its sequence runs."""

from datetime import timedelta
from typing import Final

import structlog
from messaging import Cause, Service, Tx
from sluice_contracts.delivery import MessageExpired, MessageUnknown, StepsFinished

from delivery.domain.books import by_sequence
from delivery.domain.entry import Known
from delivery.domain.expiry import Expiry, Overdue, expire
from delivery.domain.message import Ended, message_id_of
from delivery.handlers.entries import load_known
from delivery.store import books, expiring, history, locks, pending

log = structlog.get_logger()

ROWS_MAX: Final = 2_000


class Expirer:
    """What is under a mark is never claimed, so how soon it is ended is nobody's risk; a pause stops it."""

    def __init__(self, service: Service, *, unknown_wait_seconds: float, rows_max: int = ROWS_MAX) -> None:
        self._service = service
        self._unknown_wait = timedelta(seconds=unknown_wait_seconds)
        self._rows_max = rows_max

    async def go_round(self) -> bool:
        """One transaction, where any sequence has a mark; True where there may be more."""
        async with self._service.pool.acquire() as conn:
            if not await expiring.are_marked(conn):
                return False
        async with self._service.begin() as tx:
            return await expire_overdue(tx, limit=self._rows_max, unknown_wait=self._unknown_wait) > 0


async def expire_overdue(tx: Tx, *, limit: int, unknown_wait: timedelta) -> int:
    """End overdue messages and plan what follows; how many. What follows may be under a later mark again."""
    await locks.share_gates(tx.conn)
    rows = await expiring.hold(tx.conn, limit=limit)
    if not rows:
        return 0
    known = await load_known(
        tx.conn,
        {(row.sequence_id, row.entered_version) for row in rows},
        versions=[(row.sequence_id, row.version) for row in rows],
    )
    expiries = [one for one in (_decide(row, known) for row in rows) if one is not None]
    await expiring.move_on(tx.conn, expiries)
    await expiring.doubt(tx.conn, expiries, wait=unknown_wait)
    await pending.drop(tx.conn, [one.row.enrollment_id for one in expiries if one.ends])
    await history.append(tx.conn, [_ended(one, tx) for one in expiries])
    await books.add(tx.conn, by_sequence((one.row.sequence_id, one.books) for one in expiries))
    for one in expiries:
        _say(tx, one)
    log.info("messages_expired", count=len(expiries))
    return len(expiries)


def _decide(row: Overdue, known: Known) -> Expiry | None:
    mark = known.mark_over(row.sequence_id, row.due_active)
    if mark is None:
        return None
    return expire(
        row,
        mark,
        effective=known.effective(row.sequence_id, row.entered_version),
        definitions={
            version: one for (sequence, version), one in known.definitions.items() if sequence == row.sequence_id
        },
    )


def _ended(one: Expiry, tx: Tx) -> Ended:
    row = one.row
    return Ended(
        message_id=message_id_of(row.enrollment_id, row.step_id),
        enrollment_id=row.enrollment_id,
        sequence_id=row.sequence_id,
        contact_id=row.contact_id,
        step_id=row.step_id,
        version=row.version,
        channel=row.channel,
        outcome=one.outcome,
        code=one.reason,
        attempt=row.attempt,
        due_at=row.due_at,
        ended_at=tx.now,
    )


def _say(tx: Tx, one: Expiry) -> None:
    row = one.row
    message_id = message_id_of(row.enrollment_id, row.step_id)
    cause = Cause(source=tx.source, id=message_id)
    kind = MessageUnknown if row.in_doubt else MessageExpired
    tx.say(
        kind.model_validate(
            {
                "enrollment_id": row.enrollment_id,
                "contact_id": row.contact_id,
                "sequence_id": row.sequence_id,
                "version": row.version,
                "occurred_at": tx.now,
                "message_id": message_id,
                "step_id": row.step_id,
                "channel": row.channel,
                "attempt": row.attempt,
                "reason": one.reason,
            }
        ),
        cause,
    )
    if one.ends:
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
