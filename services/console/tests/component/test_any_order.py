"""Topics have no order among each other: whichever is heard first, and however often, the numbers are the same."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from chassis.health import Health
from console.loops import RebuildWatch
from console.store import build
from prometheus_client import CollectorRegistry

from .conftest import STATE, TWO, World, ago, definition, step

pytestmark = pytest.mark.stack

Raw = tuple[str, str, bytes | None]
STEPS = ("welcome", "tips", "offer")
THREE = definition(step("welcome", "0s"), step("tips", "2d"), step("offer", "1d"))
ENDS = ("EnrollmentCompleted", "EnrollmentFailed", "EnrollmentStopped", "ContactRemoved", None)
GONE_CONTACT = "person-0"
GONE_SEQUENCE = "spring-2"


class History:
    """What the topics hold, each in its own order."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.topics: dict[str, list[Raw]] = defaultdict(list)
        self._sequences()
        self._contacts()
        for person in range(4):
            for number in range(3):
                self._life(f"person-{person}", f"spring-{number}", "")
        self._life(GONE_CONTACT, "spring-0", "again-", contact_offset=99)

    def say(self, kind: str, **data: Any) -> None:
        record = self.world.record(kind, data)
        self.topics[record[0]].append(record)

    def _sequences(self) -> None:
        for number in range(3):
            name = f"spring-{number}"
            draft = {"sequence_id": name, "version": None, "published": None, "draft": TWO}
            self.say("SequenceSaved", **{**STATE, **draft})
            for version, published in ((1, TWO), (2, THREE)):
                said = {"state_version": version + 1, "version": version, "published": published, "sequence_id": name}
                at = ago(days=10 - version)
                self.say("SequencePublished", **{**STATE, **said, "updated_at": at})
                topic, key, value = self.world.record(
                    "VersionPublished", {"sequence_id": name, "version": version, "definition": published}, at=at
                )
                self.topics[topic].append((topic, key, value))
            books = dict.fromkeys(("pending", "claimed", "failed", "dropped", "expired", "unknown"), 0)
            for counted in (1, 2):
                counts = {**books, "planned": counted, "sent": counted, "books_version": counted}
                self.say("MessagesCounted", **counts, sequence_id=name, as_of=ago(days=1))
        gone = {"sequence_id": GONE_SEQUENCE, "status": "deleted", "state_version": 9, "epoch": 1, "published": None}
        self.say("SequenceDeleted", **{**STATE, **gone})
        for service in ("enrollment", "delivery", "console"):
            self.say("SequenceErased", sequence_id=GONE_SEQUENCE, service=service, rows={"row": 1})
        for topic, key in (
            ("delivery.books", GONE_SEQUENCE),
            ("sequences.versions", f"{GONE_SEQUENCE}:1"),
            ("sequences.versions", f"{GONE_SEQUENCE}:2"),
            ("sequences.events", GONE_SEQUENCE),
        ):
            self.topics[topic].append((topic, key, None))

    def _contacts(self) -> None:
        person = {"attributes": {}, "tags": [], "addresses": {}, "opted_out": False, "timezone": "Asia/Tokyo"}
        for number in range(4):
            self.say("ContactCreated", **person, contact_id=f"person-{number}", state_version=1)
        self.say("ContactUpdated", **{**person, "opted_out": True}, contact_id="person-1", state_version=2)
        self.topics["contacts.events"].append(("contacts.events", GONE_CONTACT, None))
        self.say("ContactCreated", **person, contact_id=GONE_CONTACT, state_version=1)

    def _life(self, contact_id: str, sequence_id: str, prefix: str, *, contact_offset: int = 0) -> None:
        about = {
            "enrollment_id": f"{prefix}{contact_id}-in-{sequence_id}",
            "contact_id": contact_id,
            "sequence_id": sequence_id,
            "version": 1,
        }

        def at(hours: float) -> str:
            return ago(days=8 - hours / 24)

        self.say("ContactEnrolled", **about, occurred_at=at(0), via="import", contact_offset=contact_offset)
        steps = STEPS[: self.random.randint(0, 3)]
        for hour, step_id in enumerate(steps, 1):
            message = {"message_id": f"{prefix}{contact_id}-{step_id}", "channel": "email", "attempt": 1}
            unknown = ("MessageUnknown", {"reason": "timeout"})
            resolved = ("MessageResolved", {"outcome": "sent", "by": "policy"})
            sent = ("MessageSent", {"due_at": at(hour), "sent_at": at(hour)})
            outcomes: list[list[tuple[str, Mapping[str, Any]]]] = [
                [sent],
                [unknown, resolved],
                [unknown],
                [("MessageExpired", {"reason": "skip"})],
            ]
            told = self.random.choice(outcomes)
            for minute, (kind, data) in enumerate(told):
                self.say(kind, **about, **message, **data, step_id=step_id, occurred_at=at(hour + minute / 60))
            self.say("MessageReported", **about, **message, report="delivered", step_id=step_id, occurred_at=at(hour))
        match self.random.choice(ENDS):
            case None:
                pass
            case "ContactRemoved":
                removed = {"removal_id": f"r-{about['enrollment_id']}", "enrollment_ids": [about["enrollment_id"]]}
                scope = self.random.choice([{}, {"sequence_id": sequence_id}])
                said = {"contact_id": contact_id, "allow_reentry": False, "occurred_at": at(9)}
                self.say("ContactRemoved", **removed, **scope, **said)
            case str(kind):
                why = {"EnrollmentFailed": {"step_id": "tips", "code": "550", "detail": "no such box"}}
                how = why.get(kind, {"reason": "replied"} if kind == "EnrollmentStopped" else {})
                self.say(kind, **about, **how, occurred_at=at(9))


async def heard(world: World, history: History, seed: int) -> dict[str, Any]:
    """Hear everything in some order, parts of it twice, erasing in between; what is answered in the end."""
    order = random.Random(seed)
    async with world.pool.acquire() as conn:
        await conn.execute("delete from contact; delete from gone_sequence; delete from gone_enrollment")
        for table in ("event", "enrollment", "sequence", "version", "stretch", "stop", "books", "receipt", "erasure"):
            await conn.execute(f"delete from {table}")
        await conn.execute("delete from consumer_offset; delete from outbox")
    world.positions.clear()
    at = dict.fromkeys(history.topics, 0)
    while left := [topic for topic, place in at.items() if place < len(history.topics[topic])]:
        topic = order.choice(left)
        part = history.topics[topic][at[topic] : at[topic] + order.randint(1, 6)]
        await world.hear(*part)
        at[topic] += len(part)
        if order.random() < 0.1:
            await world.erase()
        if topic in {"delivery.events", "enrollment.events"} and order.random() < 0.2:
            await world.hear(*part)  # the same records again, at other offsets
    await world.erase()
    return await numbers(world)


async def numbers(world: World) -> dict[str, Any]:
    """All that the console answers about this history."""
    answers: dict[str, Any] = {"list": await world.get("/sequences"), "unknown": await world.get("/unknown")}
    for number in range(2):
        name = f"spring-{number}"
        for what in ("log", "funnel", "contacts", "books"):
            answers[f"{name}/{what}"] = await world.get(f"/sequences/{name}/{what}")
        answers[name] = await world.get(f"/sequences/{name}")
    for person in range(1, 4):
        answers[f"person-{person}"] = await world.get(f"/contacts/person-{person}")
    answers["gone"] = [
        await world.rows(table, f"sequence_id = '{GONE_SEQUENCE}'")
        for table in ("event", "enrollment", "version", "stretch", "books", "sequence")
    ]
    # A removal that came after its sequence was erased leaves an id without a sequence, and nothing else.
    answers["reborn"] = await world.rows("enrollment", f"contact_id = '{GONE_CONTACT}' and sequence_id is not null")
    return answers


@pytest.mark.parametrize("seed", range(3))
async def test_any_interleaving_gives_the_same_answers(world: World, seed: int) -> None:
    history = History(world, seed)

    in_turn = await heard(world, history, 0)
    for shuffle in range(1, 4):
        assert await heard(world, history, shuffle) == in_turn

    assert in_turn["gone"] == [0, 0, 0, 0, 0, 0]
    assert in_turn["reborn"] == 1
    assert in_turn["spring-0/log"]["enrolled"] == 4


async def test_dropping_it_and_hearing_all_again_gives_the_same_answers(world: World, owner: Any) -> None:
    history = History(world, 7)
    before = await heard(world, history, 1)

    async with owner.transaction():
        await build.drop(owner)
    assert await world.rows("event") == 0
    world.positions.clear()
    for records in history.topics.values():
        await world.hear(*records)
    await world.erase()

    assert await numbers(world) == before


async def test_a_running_console_ends_when_its_model_is_dropped(world: World, owner: Any) -> None:
    async with world.pool.acquire() as conn:
        await build.ensure(conn)
        built_at = await build.built_at(conn)
    watch = RebuildWatch(world.pool, Health(registry=CollectorRegistry()), built_at=built_at)
    stop = asyncio.Event()
    watching = asyncio.create_task(watch(stop))

    async with owner.transaction():
        await build.drop(owner)
        await build.ensure(owner)
    async with asyncio.timeout(10):
        await watching

    assert not stop.is_set()
