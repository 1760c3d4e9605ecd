"""Gives receipts: when the claims made before a stop have ended, or can send no more."""

import asyncio
from collections.abc import Callable
from typing import Final

from chassis.clock import monotonic
from messaging import Service

from delivery.handlers.receipts import give_contacts, give_sequences
from delivery.handlers.suspensions import give_scopes
from delivery.loops.watch import Watch
from delivery.store import halts

SOON_SECONDS: Final = 0.02


class Halter:
    """The wait, not the sender's check, is what the promise of a receipt rests on.

    A stop is in the database before it is seen here, and every claim that did not know of it was made before that. So
    once the longest lease and a margin have passed here since then, no such claim sends any more, whatever became of
    its process. No timestamps of two machines are compared.
    """

    def __init__(
        self,
        service: Service,
        *,
        wait_seconds: float,
        monotonic: Callable[[], float] = monotonic,
        woken: asyncio.Event | None = None,
    ) -> None:
        self._service = service
        self.woken: Final = woken or asyncio.Event()
        """Set when there may be something to do, and SOON_SECONDS after a round that left something owed."""
        self._sequences: Watch[tuple[str, int]] = Watch(wait_seconds, monotonic=monotonic)
        self._contacts: Watch[str] = Watch(wait_seconds, monotonic=monotonic)
        self._scopes: Watch[tuple[str, int]] = Watch(wait_seconds, monotonic=monotonic)

    async def go_round(self) -> bool:
        """Give every receipt that can be given."""
        async with self._service.pool.acquire() as conn:
            owed = await halts.owed(conn)
        sequences, contacts = self._sequences.lapsed(owed.stops), self._contacts.lapsed(owed.removals)
        scopes = self._scopes.lapsed(owed.suspensions)
        if owed.halted or sequences or contacts or scopes:
            async with self._service.begin() as tx:
                await give_sequences(tx, lapsed=sequences)
                await give_contacts(tx, lapsed=contacts)
                await give_scopes(tx, lapsed=scopes)
        if owed.stops or owed.removals or owed.suspensions:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self.woken.set)
        return False
