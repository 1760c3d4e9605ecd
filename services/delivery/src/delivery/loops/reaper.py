"""Ends claims whose lease is over. It never sends."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import structlog
from chassis.clock import monotonic
from messaging import Cause, Service, Tx
from sluice_contracts.delivery import MessageUnknown

from delivery.domain.books import by_sequence
from delivery.domain.gate import Gate
from delivery.domain.lapse import LEASE_OVER, Lapse, lapse
from delivery.domain.message import UNKNOWN_WAIT_SECONDS, Ended, message_id_of
from delivery.loops.watch import Watch
from delivery.store import books, gates, history, lapsed, locks

log = structlog.get_logger()

CLAIMS_PER_ROUND_MAX: Final = 20


class Reaper:
    """A claim that has been open here for longer than a lease and a margin is nobody's any more."""

    def __init__(
        self,
        service: Service,
        *,
        wait_seconds: float,
        unknown_wait_seconds: float = UNKNOWN_WAIT_SECONDS,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._service = service
        self._claims: Watch[int] = Watch(wait_seconds, monotonic=monotonic)
        self._unknown_wait = timedelta(seconds=unknown_wait_seconds)

    async def go_round(self) -> bool:
        """End the claims that are over; True where some are left."""
        async with self._service.pool.acquire() as conn:
            present = await lapsed.open_tokens(conn)
        over = self._claims.lapsed(present)
        for token in islice(over, CLAIMS_PER_ROUND_MAX):
            async with self._service.begin() as tx:
                await reap(tx, token, unknown_wait=self._unknown_wait)
        return len(over) > CLAIMS_PER_ROUND_MAX


async def reap(tx: Tx, token: int, *, unknown_wait: timedelta) -> None:
    """End one claim: each of its rows is claimable again, or its message is unknown and waits to be decided."""
    await locks.share_gates(tx.conn)
    lapses = [lapse(row) for row in await lapsed.hold(tx.conn, token)]
    unknown = [one for one in lapses if not one.released]
    known = await gates.load(tx.conn, sorted({one.row.sequence_id for one in unknown}))
    await lapsed.release(tx.conn, token, [one.row for one in lapses if one.released])
    await lapsed.doubt(tx.conn, token, [one.row.enrollment_id for one in lapses if one.waits], wait=unknown_wait)
    await lapsed.end(tx.conn, token, [one.row.enrollment_id for one in unknown if not one.waits])
    await lapsed.close(tx.conn, token)
    await history.append(tx.conn, [_ended(one, known, tx.now) for one in unknown])
    await books.add(tx.conn, by_sequence((one.row.sequence_id, one.books) for one in lapses))
    _say(tx, unknown, token)
    log.warning("lease_expired", token=token, released=len(lapses) - len(unknown), unknown=len(unknown))


def _ended(one: Lapse, known: Mapping[str, Gate], now: datetime) -> Ended:
    row = one.row
    gate = known.get(row.sequence_id)
    return Ended(
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
            Cause(source=tx.source, id=f"{row.enrollment_id}:{token}"),
        )
