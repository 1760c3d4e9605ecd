"""What goes on without being asked: the erasure of deleted sequences."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from chassis.backoff import delays
from chassis.clock import sleep_unless
from chassis.drain import Loop
from chassis.health import Health
from chassis.pool import is_transient
from messaging import Service

from sequences.handlers import erasures
from sequences.settings import SequencesSettings

log = structlog.get_logger()

STALL_SECONDS_MAX: Final = 60.0
RETRY_SECONDS: Final = (0.1, 5.0)

Round = Callable[[], Awaitable[bool]]
"""One transaction's worth of work; whether there is more to do at once."""


def build(service: Service, settings: SequencesSettings, health: Health) -> list[Loop]:
    """The loops of this service."""
    erase = partial(_erase_round, service, settings)
    recheck = partial(_recheck_round, service, settings)
    return [
        _loop("erasure", erase, health, pause_seconds=settings.erasure_poll_seconds),
        _loop("erasure-recheck", recheck, health, pause_seconds=settings.erasure_recheck_seconds),
    ]


async def _erase_round(service: Service, settings: SequencesSettings) -> bool:
    async with service.begin() as tx:
        return await erasures.erase_some(
            tx, sequences_max=settings.erasure_sequences_max, versions_max=settings.erasure_versions_max
        )


async def _recheck_round(service: Service, settings: SequencesSettings) -> bool:
    """Complete deletions that wait for a service that the settings no longer name."""
    after: str | None = ""
    while after is not None:
        async with service.begin() as tx:
            after = await erasures.complete_waiting(
                tx, after=after, sequences_max=settings.erasure_sequences_max, services=settings.services
            )
    return False


def _loop(name: str, work: Round, health: Health, *, pause_seconds: float) -> Loop:
    async def run(stop: asyncio.Event) -> None:
        waits = delays(*RETRY_SECONDS)
        while not stop.is_set():
            health.beat(name, STALL_SECONDS_MAX + pause_seconds)
            try:
                more = await work()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("loop_retried", loop=name, error=type(error).__name__)
                await sleep_unless(stop, next(waits))
                continue
            waits = delays(*RETRY_SECONDS)
            if not more:
                await sleep_unless(stop, pause_seconds)
        health.forget(name)

    run.__qualname__ = name
    return run
