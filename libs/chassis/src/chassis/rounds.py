"""How every loop goes round: patiently when the database is away, seen by the health server, stopped between rounds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from chassis.backoff import delays
from chassis.clock import sleep_unless
from chassis.health import Health
from chassis.pool import is_transient

log = structlog.get_logger()

STALL_SECONDS_MAX: Final = 120.0
OUTAGE_DELAY_SECONDS_MAX: Final = 5.0

Round = Callable[[], Awaitable[bool]]
"""One round of work; True where there may be more at once."""


class Rounds:
    """A loop that does its round again and again, with a rest where there was nothing more to do.

    `woken` ends a rest early. A stop does not then: let it rest for less than a second.
    """

    def __init__(
        self,
        name: str,
        go_round: Round,
        *,
        rest_seconds: float,
        health: Health,
        woken: asyncio.Event | None = None,
    ) -> None:
        self.__qualname__ = name
        self._round = go_round
        self._rest_seconds = rest_seconds
        self._health = health
        self._woken = woken

    async def go_round(self) -> bool:
        """Go round once, for whoever decides when; True where there may be more at once."""
        return await self._round()

    async def __call__(self, stop: asyncio.Event) -> None:
        """Go round until told to stop; an outage is waited out, a bug ends the process."""
        waits = delays(0.1, OUTAGE_DELAY_SECONDS_MAX)
        while not stop.is_set():
            self._health.beat(self.__qualname__, every_seconds_max=max(STALL_SECONDS_MAX, 2 * self._rest_seconds))
            if self._woken is not None:
                self._woken.clear()
            try:
                more = await self.go_round()
            except Exception as error:
                if not is_transient(error):
                    raise
                delay = next(waits)
                log.warning("round_failed", loop=self.__qualname__, error=type(error).__name__, delay_seconds=delay)
                await sleep_unless(stop, delay)
                continue
            waits = delays(0.1, OUTAGE_DELAY_SECONDS_MAX)
            if not more:
                await sleep_unless(self._woken or stop, self._rest_seconds)
        self._health.forget(self.__qualname__)
