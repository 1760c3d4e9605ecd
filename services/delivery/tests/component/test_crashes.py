"""A sender dies at every line between its claim and its booking, and each message ends as it should."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

import pytest
from chassis.health import Health
from chassis.pool import Pool
from delivery.channels.base import Outgoing, Result
from delivery.domain.message import message_id_of
from delivery.loops import booker, claimer, contents, outcomes, sender
from delivery.loops.control import Control
from delivery.loops.sender import Sender, SendLimits
from delivery.store import booking, claiming
from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.stack

World = Any
TRACED = frozenset(
    str(module.__file__) for module in (sender, claimer, contents, outcomes, booker, claiming, booking)
) | {__file__}
LINES_MIN = 100
LINES_MAX = 2_000


class Killed(BaseException):
    """Nothing that the code could catch: what SIGKILL is to a process."""


class Death:
    """Comes where a line that no other death has come at is about to run, in the modules of sending."""

    def __init__(self, seen: set[str]) -> None:
        self.seen = seen
        self.at = ""

    @contextmanager
    def __call__(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        traced = frame.f_code.co_filename in TRACED and (
            frame.f_code.co_filename != __file__ or frame.f_code.co_qualname == "Channel.send"
        )
        return self._step if traced else None

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if event == "line" and place not in self.seen:
            self.seen.add(place)
            self.at = place
            raise Killed
        return self._step


class Connections:
    """The connections of one process; when it dies the server sees them go, whatever it was at."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.open: list[Any] = []

    def acquire(self) -> "Borrowed":
        """As of a pool."""
        return Borrowed(self)

    async def die(self) -> None:
        """What the end of a process does to its sockets."""
        for conn in self.open:
            conn.terminate()
            await self.pool.release(conn)


class Borrowed:
    """One of them, until it is given back."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.conn: Any = None

    async def __aenter__(self) -> Any:
        self.conn = await self.connections.pool.acquire()
        self.connections.open.append(self.conn)
        return self.conn

    async def __aexit__(self, *_: object) -> None:
        self.connections.open.remove(self.conn)
        await self.connections.pool.release(self.conn)


class Channel:
    """Takes whatever comes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.idempotent = name == "webhook"
        self.arrived: list[str] = []

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        before_first_byte()
        self.arrived.append(message.message_id)
        return Result.sent()


async def live(world: World, channel: Channel, *, until: Death | None = None) -> int | None:
    """One sender, for one claim: how much it claimed."""
    health = Health(registry=CollectorRegistry())
    control = Control(world.pool, staleness_seconds_max=30.0, health=health)
    async with world.pool.acquire() as conn:
        for _ in range(2):
            await world.beat()
            await control.look(conn)
    connections: Any = Connections(world.pool)
    process = Sender(
        connections,
        source="delivery",
        owner="tests",
        channels={channel.name: channel},
        rooms={channel.name: 4},
        control=control,
        limits=SendLimits(20.0, 10.0, 2.0),
        health=health,
    )
    lane = process._lanes[f"{channel.name}:"]
    try:
        with until() if until is not None else nullcontext():
            claimed = await process.claim()
            while lane.waiting:
                await process._send(lane, lane.waiting.popleft())
            if process._booker.waiting:
                await process._booker._write(process._booker._bookings)
    except Killed:
        await connections.die()
        return None
    return claimed


def steps(channel: str) -> dict[str, Any]:
    message = {
        "email": {"channel": "email", "subject": "S", "text": "Hello {{ contact.name }}"},
        "webhook": {"channel": "webhook", "url": "https://crm.example/hook", "json": {}},
    }[channel]
    return {"name": "N", "steps": [{"step_id": one, "after": after, "message": message} for one, after in STEPS]}


STEPS = (("hello", "0s"), ("again", "2d"))


@pytest.mark.parametrize("name", ["email", "webhook"])
async def test_wherever_a_sender_dies_its_message_ends_once_and_leaves_once_where_that_counts(
    world: World, name: str
) -> None:
    await world.sequence(published=steps(name))
    seen: set[str] = set()
    ends: Counter[tuple[str, int]] = Counter()
    for line in range(1, LINES_MAX):
        contact_id = f"c{line}"
        await world.contacts(contact_id)
        (entered,) = await world.enroll(contact_id)
        message_id = message_id_of(entered, "hello")
        channel, death = Channel(name), Death(seen)
        await live(world, channel, until=death)
        before = len(channel.arrived)

        await world.reaper.go_round()
        world.monotonic.move(22.1)
        await world.reaper.go_round()
        while await live(world, channel):
            pass

        said = [one for one in await world.said() if one.type.startswith("Message")]
        async with world.pool.acquire() as conn:
            outcome = await conn.fetchval("select outcome from message where message_id = $1", message_id)
        arrived = len(channel.arrived)
        assert [(one.type, one.data["message_id"]) for one in said] == [(f"Message{outcome.title()}", message_id)], (
            death.at
        )
        assert set(channel.arrived) <= {message_id}, death.at
        assert before <= arrived <= before + 1, death.at
        ends[outcome, arrived] += 1
        if not death.at:
            break

    books = await world.books()
    assert line > LINES_MIN
    assert await world.rows("claim") == 0
    assert books["sent"] + books.get("unknown", 0) == line
    if name == "email":
        assert set(ends) == {("sent", 1), ("unknown", 0), ("unknown", 1)}
    else:
        assert set(ends) == {("sent", 1), ("sent", 2)}
