"""Sender processes that take one step at a time, and a sink that is told what to answer, and when."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from delivery.channels.base import Outgoing, Result
from delivery.loops.control import Control
from delivery.loops.lane import Work
from delivery.loops.sender import Sender, SendLimits
from delivery.store.booking import Booking
from delivery.store.claiming import Claimed

from tests.pump.clock import Clock
from tests.pump.nodes import Node, health

LIMITS: Final = SendLimits(lease_seconds_max=20.0, send_seconds_max=10.0, margin_seconds=2.0)
STALENESS_SECONDS_MAX: Final = 3.0
LOOK_AGAIN_SECONDS: Final = 0.3
"""So long a claimer rests at least before it looks again for what is due; longer where the machine is slow."""
ROOM: Final = 8


@dataclass(eq=False)
class Attempt:
    """One call of a channel that has begun: its first byte has left."""

    message: Outgoing
    at: datetime
    idempotent: bool
    answer: asyncio.Future[Result]


@dataclass
class Sink:
    """A channel whose every call waits for its answer."""

    name: str
    idempotent: bool
    clock: Clock
    under_way: list[Attempt] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """Begin the call, and end it as it is told."""
        before_first_byte()
        attempt = Attempt(message, self.clock.now(), self.idempotent, asyncio.get_running_loop().create_future())
        self.under_way.append(attempt)
        self.called.set()
        return await attempt.answer


@dataclass(eq=False)
class Call:
    """A send that has begun, and the task in which it goes on."""

    row: Claimed
    attempt: Attempt
    task: asyncio.Task[None]


class SteppedSender:
    """The real sender; what it does by itself between two waits is one step here."""

    def __init__(self, node: Node, clock: Clock, *, owner: str) -> None:
        self.owner = owner
        self._pool: Any = node.pool
        self._clock = clock
        self.sinks = {
            "email": Sink("email", idempotent=False, clock=clock),
            "webhook": Sink("webhook", idempotent=True, clock=clock),
        }
        self.control = Control(
            self._pool, staleness_seconds_max=STALENESS_SECONDS_MAX, health=health(), monotonic=clock.monotonic
        )
        self._sender = Sender(
            self._pool,
            source="delivery",
            owner=owner,
            channels=self.sinks,
            rooms=dict.fromkeys(self.sinks, ROOM),
            control=self.control,
            limits=LIMITS,
            health=health(),
            monotonic=clock.monotonic,
        )
        self.calls: list[Call] = []
        self.held: dict[str, Claimed] = {}
        """By enrollment: what it has claimed and not booked."""

    async def look(self) -> None:
        """Look at the gates and at the heartbeats, as it does ten times a second."""
        async with self._pool.acquire() as conn:
            await self.control.look(conn)

    async def claim(self) -> list[Claimed]:
        """Claim once; what it got."""
        rests = self._sender._claimer.rest
        self._clock.step(max(LOOK_AGAIN_SECONDS, rests))
        await self._sender.claim()
        rows = [work.row for work in self.waiting() if work.row.enrollment_id not in self.held]
        self.held |= {row.enrollment_id: row for row in rows}
        return rows

    def waiting(self) -> list[Work]:
        """Claimed, and not begun."""
        return [work for lane in self._sender._lanes.values() for work in lane.waiting]

    async def begin(self) -> Call | None:
        """Begin the next send; None where it came to nothing before the first byte."""
        lane = next(lane for lane in self._sender._lanes.values() if lane.waiting)
        work = lane.waiting.popleft()
        sink = self.sinks[work.row.channel]
        sink.called.clear()
        task = asyncio.create_task(self._sender._send(lane, work))
        called = asyncio.create_task(sink.called.wait())
        await asyncio.wait({task, called}, return_when=asyncio.FIRST_COMPLETED)
        called.cancel()
        if task.done():
            await task
            return None
        call = Call(work.row, sink.under_way.pop(), task)
        self.calls.append(call)
        return call

    async def finish(self, call: Call, result: Result) -> None:
        """Let a call come back."""
        self.calls.remove(call)
        call.attempt.answer.set_result(result)
        await call.task

    def results(self) -> Sequence[Booking]:
        """What it has to book."""
        return list(self._sender._booker._bookings)

    async def book(self) -> None:
        """Write what it has to book, in one transaction."""
        bookings = self.results()
        if bookings:
            await self._sender._booker._write(bookings)
            for booking in bookings:
                self.held.pop(booking.enrollment_id, None)

    async def die(self) -> None:
        """What SIGKILL leaves behind."""
        for call in self.calls:
            call.task.cancel()
            with suppress(asyncio.CancelledError):
                await call.task
