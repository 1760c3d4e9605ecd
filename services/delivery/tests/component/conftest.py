"""Delivery but for Kafka and the channels, on a real Postgres."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from chassis.pool import Pool
from delivery.loops.bookkeeper import Bookkeeper
from delivery.loops.eraser import Eraser
from delivery.loops.expirer import Expirer
from delivery.loops.halter import Halter
from delivery.loops.planner import Planner
from delivery.loops.reaper import Reaper
from delivery.loops.resolver import Resolver
from delivery.loops.upkeep import Upkeep
from delivery.routes import routes
from delivery.settings import MIGRATIONS, SCHEMA
from delivery.store import books, claiming, locks
from delivery.store.booking import Booking, book
from delivery.store.claiming import Claimed
from delivery.store.control import CONTROL_TOPICS
from messaging import MIGRATIONS as MESSAGING
from messaging import derive
from testkit.database import fresh_schema, vouched
from testkit.feeder import Feeder, Said
from testkit.stack import Servers

from services.delivery.tests.component.receiving import Client, receiving

HALT_WAIT_SECONDS = 22.0
LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEAT = """
insert into consumer_offset (topic, partition, partitions, next_offset, beat)
select topic, 0, $2, 0, 1 from unnest($1::text[]) as topic
on conflict (topic, partition) do update set beat = consumer_offset.beat + 1
"""


def step(step_id: str, after: str = "0s", channel: str = "email", **message: Any) -> dict[str, Any]:
    """One step of a definition."""
    contents: dict[str, dict[str, Any]] = {
        "email": {"subject": "Hi", "text": "Hello {{ contact.name }}"},
        "webhook": {"url": "https://crm.example/hook", "json": {"contact": "{{ contact.id }}"}},
        "whatsapp": {"template": "welcome", "language": "en"},
    }
    return {"step_id": step_id, "after": after, "message": {"channel": channel, **contents[channel], **message}}


def definition(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "Welcome", "steps": list(steps) or [step("hello"), step("again", "2d")], **more}


STATE = {
    "state_version": 1,
    "status": "active",
    "epoch": 0,
    "revision": 1,
    "draft": None,
    "version": 1,
    "published": definition(),
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": "2026-03-01T12:00:00Z",
}
PERSON = {
    "state_version": 1,
    "attributes": {"name": "Ada"},
    "tags": [],
    "addresses": {"email": "ada@example.org"},
    "opted_out": False,
}


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


class World(Feeder):
    """Delivery but for Kafka and the channels: it goes the rounds of its loops too."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, service="delivery", routes=routes)
        self.monotonic = Clock()
        self.restart()

    def restart(self) -> None:
        """A new `plan` process: its loops know nothing of before."""
        service: Any = self
        self.halter = Halter(service, wait_seconds=HALT_WAIT_SECONDS, monotonic=self.monotonic)
        self.reaper = Reaper(service, wait_seconds=HALT_WAIT_SECONDS, monotonic=self.monotonic)
        self.upkeep = Upkeep(service)
        self.resolver = Resolver(service, rows_max=3)
        self.planner = Planner(service, rows_max=3)
        self.eraser = Eraser(service, rows_max=2)
        self.expirer = Expirer(service, unknown_wait_seconds=600.0, rows_max=2)
        self.bookkeeper = Bookkeeper(service, tell_seconds_min=0.0)

    def enrollment_of(self, contact_id: str, sequence_id: str = "s") -> str:
        """The id that an enrollment of that contact has here."""
        return enrollment_of(contact_id, sequence_id)

    async def beat(self, *, partitions: int = 1) -> None:
        """The readers of the control topics confirm that they have caught up."""
        async with self.pool.acquire() as conn:
            await conn.execute(BEAT, CONTROL_TOPICS, partitions)

    # -- records

    async def ask(self, kind: str, /, **data: Any) -> list[Said]:
        """One message in a batch of its own."""
        return await self.hear(self.record(kind, data))

    async def sequence(self, sequence_id: str = "s", *, as_: str = "SequencePublished", **state: Any) -> list[Said]:
        """A state of a sequence; an active one unless said otherwise. Its version counts on by itself."""
        version = {} if "state_version" in state else {"state_version": next(self.numbers)}
        return await self.ask(as_, **{**STATE, "sequence_id": sequence_id, **version, **state})

    async def publish(self, sequence_id: str = "s", *steps: dict[str, Any], version: int = 1, **state: Any) -> None:
        await self.sequence(sequence_id, version=version, published=definition(*steps), **state)

    async def pause(
        self, sequence_id: str = "s", *, epoch: int = 1, at: datetime = LONG_AGO, **state: Any
    ) -> list[Said]:
        state = {"status": "paused", "epoch": epoch, "paused_at": _text(at), **state}
        return await self.sequence(sequence_id, as_="SequencePaused", **state)

    async def resume(
        self, sequence_id: str = "s", *, epoch: int = 2, paused: datetime = LONG_AGO, resumed: datetime, **state: Any
    ) -> list[Said]:
        state = {
            "epoch": epoch,
            "paused_at": _text(paused),
            "resumed_at": _text(resumed),
            "clock_offset_seconds": (resumed - paused).total_seconds(),
            **state,
        }
        return await self.sequence(sequence_id, as_="SequenceResumed", **state)

    async def delete(self, sequence_id: str = "s", *, epoch: int = 9) -> list[Said]:
        return await self.sequence(
            sequence_id, as_="SequenceDeleted", status="deleted", epoch=epoch, published=None, draft=None
        )

    async def contacts(self, *contact_ids: str, **state: Any) -> None:
        people = [{**PERSON, **state, "contact_id": contact_id} for contact_id in contact_ids]
        await self.hear(*[self.record("ContactCreated", person) for person in people])

    async def enroll(
        self,
        *contact_ids: str,
        sequence_id: str = "s",
        at: datetime = LONG_AGO,
        contact_offset: int = 0,
        version: int = 1,
    ) -> list[str]:
        """Enrollments that began; their ids."""
        found = [enrollment_of(contact_id, sequence_id) for contact_id in contact_ids]
        await self.hear(
            *[
                self.record(
                    "ContactEnrolled",
                    {
                        "enrollment_id": enrollment_id,
                        "contact_id": contact_id,
                        "sequence_id": sequence_id,
                        "version": version,
                        "occurred_at": _text(at),
                        "via": "command",
                        "contact_offset": contact_offset,
                    },
                )
                for contact_id, enrollment_id in zip(contact_ids, found, strict=True)
            ]
        )
        return found

    async def remove(self, contact_id: str, *enrollment_ids: str, **scope: Any) -> list[Said]:
        return await self.ask(
            "ContactRemoved",
            **{
                "removal_id": f"removal-{next(self.numbers)}",
                "contact_id": contact_id,
                "enrollment_ids": list(enrollment_ids),
                "allow_reentry": False,
                "occurred_at": _text(LONG_AGO),
                **scope,
            },
        )

    async def stop(self, contact_id: str, enrollment_id: str, sequence_id: str = "s") -> list[Said]:
        return await self.ask(
            "EnrollmentStopped",
            enrollment_id=enrollment_id,
            contact_id=contact_id,
            sequence_id=sequence_id,
            version=1,
            occurred_at=_text(LONG_AGO),
            reason="success",
        )

    # -- senders

    async def claim(self, sequence_id: str = "s", lane: str = "email:", *, room: int = 500) -> list[Claimed]:
        """What a sender claims."""
        async with self.pool.acquire() as conn, conn.transaction():
            token, _ = await claiming.begin(conn)
            return await claiming.claim(conn, {(sequence_id, lane): room}, token=token, owner="tests")

    async def book(self, *bookings: Booking, closes: bool = True) -> int:
        """What a sender books."""
        async with self.pool.acquire() as conn, conn.transaction():
            await locks.share_gates(conn)
            return await book(conn, bookings, finished=[one.token for one in bookings] if closes else [])

    # -- loops

    async def go(self, *loops: str) -> list[Said]:
        """Go the rounds of these loops until nothing more is to be done; what is said then."""
        for name in loops:
            for _ in range(2_000):
                if not await getattr(self, name).go_round():
                    break
            else:
                raise AssertionError(f"the {name} never rests")
        return await self.said()

    async def halt(self) -> list[Said]:
        """What the halter says now."""
        return await self.go("halter")

    # -- what is in the tables

    async def row(self, enrollment_id: str) -> Mapping[str, Any] | None:
        async with self.pool.acquire() as conn:
            found = await conn.fetchrow("select * from pending where enrollment_id = $1::uuid", enrollment_id)
        return None if found is None else dict(found)

    async def outcomes(self) -> list[tuple[str, str]]:
        """The history, as (step, outcome), oldest first."""
        async with self.pool.acquire() as conn:
            return [tuple(row) for row in await conn.fetch("select step_id, outcome from message order by ended_at")]

    async def books(self, sequence_id: str = "s") -> dict[str, int]:
        """The books of a sequence without its zeros, checked against the tables."""
        async with self.pool.acquire() as conn, conn.transaction(isolation="repeatable_read"):
            found = (await books.read(conn, [sequence_id]))[sequence_id]
            counted = await conn.fetchrow(
                "select count(*) filter (where token is null and lane is distinct from 'unknown:') as pending, "
                "count(token) as claimed from pending where sequence_id = $1",
                sequence_id,
            )
        assert found.closed
        assert counted is not None
        assert (found.pending, found.claimed) == (counted["pending"], counted["claimed"])
        return {name: getattr(found, name) for name in found.__slots__ if getattr(found, name)}


def enrollment_of(contact_id: str, sequence_id: str = "s") -> str:
    return derive("tests", sequence_id, contact_id)


def booking(row: Claimed, ending: str, **more: Any) -> Booking:
    """What became of a claimed row; sent without a next step unless said otherwise."""
    message_id = derive(row.enrollment_id, row.step_id)
    made = Booking(row.enrollment_id, row.contact_id, row.token, ending, message_id, row.channel, row.due_at)
    if ending in ("sent", "unknown", "failed"):
        made.event = orjson.dumps({"type": f"Message{ending.title()}.v1", "data": {"message_id": message_id}})
        made.planned_under = row.effective
    if ending == "unknown":
        made.retry_after = timedelta(minutes=10)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def sent(row: Claimed, next_step: str | None = None, **more: Any) -> Booking:
    """It was sent, and this step follows."""
    if next_step is None:
        return booking(row, "sent", **more)
    follows: dict[str, Any] = {"next_step": next_step, "next_lane": "email:", "next_after": timedelta(days=2)}
    return booking(row, "sent", **{**follows, **more})


def types(said: Sequence[Said]) -> list[str]:
    return [one.type for one in said]


def only(said: Sequence[Said], kind: str) -> Said:
    (found,) = [one for one in said if one.type == kind]
    return found


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened, vouched(running.urls[SCHEMA], SCHEMA):
        yield opened


@pytest.fixture(name="sent")
def _sent() -> Callable[..., Booking]:
    return sent


@pytest.fixture(name="booking")
def _booking() -> Callable[..., Booking]:
    return booking


@pytest.fixture
def world(pool: Pool) -> World:
    return World(pool)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Of the receiver, over HTTP."""
    async with receiving(world) as opened:
        yield opened
