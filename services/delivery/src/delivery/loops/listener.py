"""Hears at once that a stop was asked for, so that nobody has to look for it every few milliseconds."""

import asyncio
from typing import Final

import structlog
from chassis.clock import sleep_unless
from chassis.health import Health
from chassis.pool import Pool, is_transient, session

from delivery.store.control import GATE_CHANNEL, HALT_CHANNEL

log = structlog.get_logger()

REST_SECONDS: Final = 1.0
STALL_SECONDS_MAX: Final = 60.0


class Listener:
    """Wakes who asked for it when a gate or a scope has changed, a removal is owed its receipt, or what was claimed of
    those who are stopped has ended.

    What it does not hear, for its connection was lost, is found by who looks once in a while.
    """

    def __init__(self, pool: Pool, *, health: Health) -> None:
        self._pool = pool
        self._woken: list[asyncio.Event] = []
        self._health = health

    def woken(self) -> asyncio.Event:
        """An event that is set with each of them; who waits for it clears it."""
        self._woken.append(asyncio.Event())
        return self._woken[-1]

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until told to stop, on a new connection where one is lost."""
        while not stop.is_set():
            try:
                async with session(self._pool) as conn:
                    for channel in (GATE_CHANNEL, HALT_CHANNEL):
                        await conn.add_listener(channel, self._wake)
                    while not (stop.is_set() or conn.is_closed()):
                        self._health.beat("listener", every_seconds_max=STALL_SECONDS_MAX)
                        await sleep_unless(stop, REST_SECONDS)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("listener_lost", error=type(error).__name__)
                await sleep_unless(stop, REST_SECONDS)
        self._health.forget("listener")

    def _wake(self, *_: object) -> None:
        for event in self._woken:
            event.set()
