"""Writes what became of claimed messages, in batches, by token."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from chassis.backoff import delays
from chassis.clock import sleep, sleep_unless
from chassis.health import Health
from chassis.pool import Pool, is_transient
from prometheus_client import Counter as Metric

from delivery.store import locks
from delivery.store.booking import Booking, book

log = structlog.get_logger()

SENDS: Final = Metric("sluice_sends", "Messages by channel and how the claim ended.", ["channel", "ending"])
ROWS_MAX: Final = 500
GATHER_SECONDS: Final = 0.02
"""How long a small batch waits for company, while more is under way and no receipt waits for this one alone."""
REST_SECONDS: Final = 1.0
STALL_SECONDS_MAX: Final = 60.0
OUTAGE_DELAY_SECONDS_MAX: Final = 5.0


class Booker:
    """Takes bookings as they come and writes them in order; while the database is away they wait in memory.

    They are bounded by what is claimed: who claims looks at `waiting`.
    """

    def __init__(self, pool: Pool, *, health: Health) -> None:
        self._pool = pool
        self._health = health
        self._open: dict[int, int] = {}
        self._bookings: list[Booking] = []
        self._woken = asyncio.Event()
        self._awaited = 0
        """So many of the first of them are to be written at once."""
        self._hurried = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many bookings are not written yet."""
        return len(self._bookings)

    def expect(self, token: int, count: int) -> None:
        """A claim of so many messages was made: it is closed with the last booking of them."""
        self._open[token] = count

    def take(self, booking: Booking) -> None:
        """Write this with the next batch."""
        self._bookings.append(booking)
        self._woken.set()
        if len(self._bookings) >= ROWS_MAX:
            self._hurried.set()

    def hurry(self) -> None:
        """Write all that was taken at once, for a receipt waits for it."""
        self._awaited = len(self._bookings)
        self._hurried.set()

    async def run(self, finished: asyncio.Event, *, more_comes: Callable[[], bool]) -> None:
        """Write until `finished` is set and nothing waits; `more_comes` says whether waiting for company pays."""
        waits = delays(0.05, OUTAGE_DELAY_SECONDS_MAX)
        while self._bookings or not finished.is_set():
            self._health.beat("bookings", every_seconds_max=STALL_SECONDS_MAX)
            if not self._bookings:
                self._woken.clear()
                await sleep_unless(self._woken, REST_SECONDS)
                continue
            if len(self._bookings) < ROWS_MAX and not self._awaited and more_comes():
                self._hurried.clear()
                await sleep_unless(self._hurried, GATHER_SECONDS)
            try:
                await self._write(self._bookings[:ROWS_MAX])
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("booking_retried", error=type(error).__name__)
                await sleep(next(waits))
            else:
                waits = delays(0.05, OUTAGE_DELAY_SECONDS_MAX)
        self._health.forget("bookings")

    def wake(self) -> None:
        """Look again, though nothing came."""
        self._woken.set()

    async def _write(self, batch: Sequence[Booking]) -> None:
        ended = Counter(booking.token for booking in batch)
        finished = [token for token, count in ended.items() if self._open[token] == count]
        async with self._pool.acquire() as conn, conn.transaction():
            await locks.share_gates(conn)
            booked = await book(conn, batch, finished=finished)
        if booked < len(batch):
            # Their leases had run out, or an answer of the database was lost and this is the second try.
            log.warning("bookings_not_ours", count=len(batch) - booked)
        for (channel, ending), count in Counter((booking.channel, booking.ending) for booking in batch).items():
            SENDS.labels(channel, ending).inc(count)
        del self._bookings[: len(batch)]
        self._awaited = max(0, self._awaited - len(batch))
        for token, count in ended.items():
            self._open[token] -= count
        for token in finished:
            del self._open[token]
