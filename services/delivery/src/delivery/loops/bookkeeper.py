"""Rolls up the books, and tells those that changed, at most once a second per sequence."""

from typing import Final

from messaging import Cause, Service
from sluice_contracts.delivery import MessagesCounted

from delivery.store import books, locks

DELTAS_MAX: Final = 20_000
TELL_SECONDS_MIN: Final = 1.0


class Bookkeeper:
    """One round a second, whoever does it: the books lock lets one in."""

    def __init__(self, service: Service, *, tell_seconds_min: float = TELL_SECONDS_MIN) -> None:
        self._service = service
        self._tell_seconds_min = tell_seconds_min

    async def go_round(self) -> bool:
        """Roll up, then tell, where anything has changed; True where changes are left to be rolled up."""
        async with self._service.pool.acquire() as conn:
            if not await books.have_changed(conn):
                return False
        async with self._service.begin() as tx:
            await locks.hold_books(tx.conn)
            rolled = await books.roll_up(tx.conn, limit=DELTAS_MAX)
            for one in await books.close(tx.conn, every_seconds_min=self._tell_seconds_min):
                told = one.books.reported(stopped=one.stopped)
                counted = MessagesCounted(
                    sequence_id=one.sequence_id,
                    books_version=one.books_version,
                    planned=told.planned,
                    pending=told.pending,
                    claimed=told.claimed,
                    sent=told.sent,
                    failed=told.failed,
                    dropped=told.dropped,
                    expired=told.expired,
                    unknown=told.unknown,
                    as_of=one.as_of,
                )
                tx.say(counted, Cause(source=tx.source, id=f"{one.sequence_id}:{one.books_version}"))
        return rolled >= DELTAS_MAX
