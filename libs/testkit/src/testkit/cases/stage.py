"""The stage of all cases: one stack, one clock that every case waits on, and what the outside sees."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from chassis.clock import sleep
from devstack.stack import Stack
from sluice import Sluice
from sluice.asking import Asker

from testkit.cases.clock import MovableClock
from testkit.cases.quiet import Quiet
from testkit.cases.seen import Seen

REFRESH_SECONDS: Final = 0.3
"""A sender refreshes its copy of the database's clock ten times a second: so long nothing is judged by the old time."""


@dataclass(slots=True)
class Wait:
    """A case that waits for the clock."""

    until: datetime
    woken: "asyncio.Future[None]"


@dataclass(slots=True)
class Stage:
    """What all cases share. The clock is set forward when every case waits for it and the services are at rest."""

    stack: Stack
    sluice: Sluice
    asker: Asker
    clock: MovableClock
    quiet: Quiet
    seen: Seen
    waits: list[Wait] = field(default_factory=list)
    busy: int = 0
    """Cases that do not wait for the clock."""

    async def until(self, moment: datetime) -> None:
        """Wait until all that is due before then has been done, and the clock shows it."""
        wait = Wait(moment, asyncio.get_running_loop().create_future())
        self.waits.append(wait)
        self.busy -= 1
        await wait.woken

    async def go(self, cases: "list[asyncio.Task[Any]]") -> None:
        """Set the clock forward, step by step, until every case is over."""
        while not all(case.done() for case in cases):
            if self.busy or not self.waits:
                await sleep(0.01)
                continue
            await self.quiet.wait()
            now = await self.clock.now()
            due = [wait for wait in self.waits if wait.until <= now]
            if due:
                self._wake(due)
                continue
            await self._forward()

    def _wake(self, due: list[Wait]) -> None:
        self.waits = [wait for wait in self.waits if wait not in due]
        self.busy += len(due)
        for wait in due:
            wait.woken.set_result(None)

    async def _forward(self) -> None:
        """To the next moment at which a case goes on or something becomes due by itself."""
        moments = [wait.until for wait in self.waits]
        by_itself = await self.quiet.next_due()
        await self.clock.set(min([*moments, by_itself] if by_itself is not None else moments))
        await sleep(REFRESH_SECONDS)
