"""Sender processes against a real database, and channels that take what is sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from chassis.health import Health
from delivery.channels.base import Outgoing, Result
from delivery.loops.control import Control
from delivery.loops.sender import Sender, SendLimits
from delivery.store import claiming
from prometheus_client import CollectorRegistry

World = Any
SECONDS_MAX = 15.0


@dataclass
class FakeChannel:
    """Takes what is sent; may be held before the first byte and behind the last, and told what to answer."""

    name: str = "email"
    idempotent: bool = False
    answers: list[Result] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    begun: int = 0
    before: asyncio.Event = field(default_factory=asyncio.Event)
    after: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.before.set()
        self.after.set()

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        self.begun += 1
        await self.before.wait()
        before_first_byte()
        self.arrived.append(message.message_id)
        self.texts.append(getattr(message.content, "text", None))
        await self.after.wait()
        return self.answers.pop(0) if self.answers else Result.sent(f"provider-{len(self.arrived)}")


@dataclass
class Process:
    """One sender process."""

    sender: Sender
    control: Control
    stop: asyncio.Event
    beats: asyncio.Event
    task: asyncio.Task[None]
    rounds: int = 0
    """How often it has come to claim, whatever it found."""
    looks: int = 0
    """How often it has looked for what is due."""

    async def go_round(self, *, looking: bool = True) -> None:
        """Wait until it has gone round a few times more, and looked: what it has not done by then it does not do."""
        rounds, looks = self.rounds + 3, self.looks + 2 * looking
        await until(lambda: self.rounds >= rounds and self.looks >= looks)

    async def end(self) -> None:
        """SIGTERM, and the end of it."""
        self.stop.set()
        async with asyncio.timeout(SECONDS_MAX):
            await self.task

    async def kill(self) -> None:
        """What SIGKILL leaves behind: nothing is finished, nothing is booked."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def process(
    world: World, *channels: FakeChannel, room: int = 4, staleness_seconds_max: float = 3.0
) -> AsyncIterator[Process]:
    """Control readers that confirm, and a sender that hears them."""
    health = Health(registry=CollectorRegistry())
    control = Control(world.pool, staleness_seconds_max=staleness_seconds_max, health=health)
    sender = Sender(
        world.pool,
        source="delivery",
        owner="tests",
        channels={channel.name: channel for channel in channels},
        rooms={channel.name: room for channel in channels},
        control=control,
        limits=SendLimits(20.0, 10.0, 2.0),
        health=health,
    )
    stop, beats = asyncio.Event(), asyncio.Event()
    beats.set()

    async def confirm() -> None:
        while True:
            await beats.wait()
            await world.beat()
            await asyncio.sleep(0.05)

    helpers = [asyncio.create_task(confirm()), asyncio.create_task(control.run(asyncio.Event()))]
    claim, probe = sender.claim, claiming.probe

    async def counted_claim() -> int | None:
        found = await claim()
        running.rounds += 1
        return found

    async def counted_probe(conn: Any, lanes: Any, **besides: Any) -> Any:
        found = await probe(conn, lanes, **besides)
        running.looks += 1
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "claim", counted_claim)
        patch.setattr(claiming, "probe", counted_probe)
        task = asyncio.create_task(sender.run(stop))
        running = Process(sender, control, stop, beats, task)
        try:
            yield running
        finally:
            for one in (task, *helpers):
                one.cancel()
            await asyncio.gather(task, *helpers, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that comes; a test that waits in vain fails."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)
