"""What enrollment does by itself: decide enrolls that have waited, and erase deleted sequences."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog
from chassis.backoff import delays
from chassis.clock import sleep_unless
from chassis.drain import Loop
from chassis.health import Health
from chassis.pool import is_transient
from messaging import Service
from sluice_contracts import topics

from enrollment.domain.entry import Missing
from enrollment.domain.patience import Patience
from enrollment.handlers.erasure import erase_some
from enrollment.handlers.parking import reconsider
from enrollment.settings import EnrollmentSettings
from enrollment.store import parked

log = structlog.get_logger()

BATCH_CONTACTS_MAX: Final = 1_000
PARKED_POLL_SECONDS: Final = 0.2
ERASURE_POLL_SECONDS: Final = 0.5
STALL_SECONDS_MAX: Final = 60.0
TOPIC_OF: Final = {Missing.SEQUENCE: topics.SEQUENCES_EVENTS, Missing.CONTACT: topics.CONTACTS_EVENTS}


def build(service: Service, settings: EnrollmentSettings, health: Health) -> list[Loop]:
    """Every loop of the process, beside reading and publishing."""
    parked_loop = ParkedLoop(service, health, parked_seconds_max=settings.parked_seconds_max)
    return [parked_loop.run, ErasureLoop(service, health).run]


class ParkedLoop:
    """Decides parked enrolls: as soon as what they wait for is there, or when they have waited long enough."""

    def __init__(self, service: Service, health: Health, *, parked_seconds_max: float) -> None:
        self._service = service
        self._health = health
        self._patience = {missing: Patience(parked_seconds_max) for missing in TOPIC_OF}

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        await _repeat("parked", self.decide_some, stop, self._health, poll_seconds=PARKED_POLL_SECONDS)

    async def decide_some(self) -> bool:
        """Decide one batch; whether there was any."""
        contact_ids = await self._found()
        if not contact_ids:
            return False
        async with self._service.begin() as tx:
            await reconsider(tx, contact_ids, horizons=self._horizons())
        return True

    def _horizons(self) -> dict[Missing, datetime]:
        return {
            missing: patience.horizon for missing, patience in self._patience.items() if patience.horizon is not None
        }

    async def _found(self) -> list[str]:
        limit = BATCH_CONTACTS_MAX
        async with self._service.pool.acquire() as conn:
            caught_up = await parked.caught_up(conn, list(TOPIC_OF.values()))
            for missing, topic in TOPIC_OF.items():
                self._patience[missing] = self._patience[missing].observe(caught_up.get(topic))
            found = await parked.ready(conn, limit=limit) or await parked.heard(conn, limit=limit)
            for missing, horizon in self._horizons().items():
                found = found or await parked.late(conn, missing, horizon=horizon, limit=limit)
        return list(dict.fromkeys(found))


class ErasureLoop:
    """Erases deleted sequences in small batches, each in a transaction of its own."""

    def __init__(self, service: Service, health: Health) -> None:
        self._service = service
        self._health = health

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        await _repeat("erasure", self.erase, stop, self._health, poll_seconds=ERASURE_POLL_SECONDS)

    async def erase(self) -> bool:
        """Erase one batch; whether there was any."""
        async with self._service.begin() as tx:
            return await erase_some(tx)


async def _repeat(
    name: str,
    work: Callable[[], Awaitable[bool]],
    stop: asyncio.Event,
    health: Health,
    *,
    poll_seconds: float,
) -> None:
    """Work while there is any, rest where there is none; an outage is waited out, anything else is a bug."""
    waits = delays(0.1, 5.0)
    while not stop.is_set():
        health.beat(name, STALL_SECONDS_MAX)
        try:
            worked = await work()
        except Exception as error:
            if not is_transient(error):
                raise
            delay = next(waits)
            log.warning("loop_retried", loop=name, error=type(error).__name__, delay_seconds=round(delay, 2))
            await sleep_unless(stop, delay)
            continue
        waits = delays(0.1, 5.0)
        if not worked:
            await sleep_unless(stop, poll_seconds)
