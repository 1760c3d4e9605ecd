"""Senders that never rest, and the ways to stop them; every call of a channel is written down with its time."""

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import delivery.loops
import orjson
from chassis.clock import utc_now
from chassis.health import Health
from chassis.pool import Pool
from delivery.channels.base import Outgoing, Result, SendStopped
from delivery.loops.control import Control
from delivery.loops.sender import Sender, SendLimits
from delivery.routes import routes
from delivery.store.control import CONTROL_TOPICS
from messaging import derive, offsets
from messaging.pipeline import Pipeline
from prometheus_client import CollectorRegistry
from sluice_contracts.base import format_timestamp
from sluice_contracts.registry import BY_TYPE

from tests.pump.topics import Record

SENDERS: Final = 4
ROOM: Final = 4
PARTITIONS: Final = 4
CALL_SECONDS_MAX: Final = 0.005
BEAT_SECONDS: Final = 0.1
REST_SECONDS: Final = 0.005
STEP_IDS: Final = tuple(f"step-{number}" for number in range(30))
"""So many that nobody is through before being removed."""
CHANNELS: Final = {"email": False, "webhook": True}
"""By name: whether it honours a key."""

_BEAT: Final = "update consumer_offset set beat = beat + 1 where topic = any($1::text[])"
_TAKE: Final = """
with taken as (delete from outbox where topic in ('delivery.control', 'delivery.answers') returning seq, value)
select value from taken order by seq
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a channel: its first byte left then."""

    message_id: str
    channel: str
    started_at: datetime


@dataclass
class RacingChannel:
    """Takes a moment to connect and a moment to answer."""

    name: str
    idempotent: bool
    calls: list[Call]
    stopped: list[str]
    """Messages that the check before the first byte has kept back."""

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """Connect, check, call."""
        await asyncio.sleep(random.uniform(0, CALL_SECONDS_MAX))
        try:
            before_first_byte()
        except SendStopped:
            self.stopped.append(message.message_id)
            raise
        self.calls.append(Call(message.message_id, self.name, utc_now()))
        await asyncio.sleep(random.uniform(0, CALL_SECONDS_MAX))
        return Result.sent()


def definition(name: str) -> dict[str, Any]:
    """Steps that follow each other at once, on two channels in turn."""
    email = {"channel": "email", "subject": "Hi", "text": "Hello"}
    webhook = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
    steps = [
        {"step_id": step, "after": "0s", "message": message}
        for step, message in zip(STEP_IDS, itertools.cycle((email, webhook)), strict=False)
    ]
    return {"name": name, "steps": steps}


@dataclass
class Arena:
    """Real senders and loops on one database, and records for them."""

    pool: Pool
    calls: list[Call] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    receipts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By what they are of: a removal's id, a sequence with its epoch, a scope with its epoch."""
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    readers: dict[tuple[str, int], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """A partition has one reader."""

    def __post_init__(self) -> None:
        self.pipeline = Pipeline("delivery", "delivery", self.pool)
        self.routes = routes()

    def begin(self) -> Any:
        """A transaction for a loop."""
        return self.pipeline.begin()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Senders, loops and heartbeats, until the context ends."""
        await self._take_over()
        channels = {name: RacingChannel(name, key, self.calls, self.stopped) for name, key in CHANNELS.items()}
        tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._loops())]
        stop = asyncio.Event()
        senders = []
        for number in range(SENDERS):
            control = Control(self.pool, staleness_seconds_max=3.0, health=_health())
            sender = Sender(
                self.pool,
                source="delivery",
                owner=f"sender-{number}",
                channels=channels,
                rooms=dict.fromkeys(channels, ROOM),
                control=control,
                limits=SendLimits(20.0, 10.0, 2.0),
                health=_health(),
            )
            tasks.append(asyncio.create_task(control.run(asyncio.Event())))
            senders.append(asyncio.create_task(sender.run(stop)))
        try:
            yield
            stop.set()
            await asyncio.gather(*senders)
        finally:
            for task in (*tasks, *senders):
                task.cancel()
            await asyncio.gather(*tasks, *senders, return_exceptions=True)

    async def _take_over(self) -> None:
        async with self.pool.acquire() as conn:
            for topic in self.routes.topics:
                beginnings = dict.fromkeys(range(PARTITIONS), 0)
                self.positions[topic] = await offsets.load(conn, topic, beginnings=beginnings, partitions=PARTITIONS)

    async def _beat(self) -> None:
        while True:
            async with self.pool.acquire() as conn:
                await conn.execute(_BEAT, CONTROL_TOPICS)
            await asyncio.sleep(BEAT_SECONDS)

    async def _loops(self) -> None:
        """Every loop of `plan` in turn, the halter before each of them."""
        service: Any = self
        rounds: dict[str, Any] = {
            loop.__qualname__: loop for loop in delivery.loops.build(service, _health(), halt_wait_seconds=22.0)
        }
        rounds.pop("upkeep")
        for name in itertools.cycle(rounds):
            await rounds["halter"].go_round()
            await rounds[name].go_round()
            await self._take_receipts()
            await asyncio.sleep(REST_SECONDS)

    async def _take_receipts(self) -> None:
        async with self.pool.acquire() as conn:
            for row in await conn.fetch(_TAKE):
                envelope = orjson.loads(row["value"])
                data = envelope["data"]
                kind = envelope["type"].removesuffix(".v1")
                if kind == "ContactHalted":
                    self.receipts[data["removal_id"]] = data
                elif kind == "SequenceHalted":
                    self.receipts[f"{data['sequence_id']}:{data['epoch']}"] = data
                elif kind == "DeliverySuspended":
                    self.receipts[f"{data['scope']}:{data['epoch']}"] = data
                elif kind == "CommandAccepted":
                    self.receipts[envelope["correlationid"]] = data["result"]
        async with self.came:
            self.came.notify_all()

    async def receipt(self, of: str) -> Mapping[str, Any]:
        """Wait for it."""
        async with self.came:
            await self.came.wait_for(lambda: of in self.receipts)
        return self.receipts.pop(of)

    # -- records

    async def hear(self, *records: tuple[str, Mapping[str, Any]], partition: int = 0) -> list[str]:
        """Handle records of one topic in one transaction; their ids."""
        async with self.readers[BY_TYPE[f"{records[0][0]}.v1"].TOPIC, partition]:
            return await self._hear(*records, partition=partition)

    async def _hear(self, *records: tuple[str, Mapping[str, Any]], partition: int) -> list[str]:
        models = [BY_TYPE[f"{kind}.v1"] for kind, _ in records]
        topic = models[0].TOPIC
        start = self.positions[topic][partition]
        batch, ids = [], []
        for place, (model, (_, data)) in enumerate(zip(models, records, strict=True)):
            ids.append(f"r{next(self.numbers)}")
            envelope = {"specversion": "1.0", "id": ids[-1], "source": "races", "type": model.TYPE, "data": data}
            key = model.model_validate(data).key().encode()
            batch.append(Record(topic, partition, start + place, key, orjson.dumps(envelope)))
        await self.pipeline.handle(self.routes.topics[topic], batch, self.positions[topic])
        return ids

    async def introduce(self, contacts: Sequence[str]) -> None:
        """Contacts that are there."""
        people = [
            {
                "contact_id": contact,
                "state_version": 1,
                "attributes": {},
                "tags": [],
                "addresses": {"email": f"{contact}@example.org"},
                "opted_out": False,
            }
            for contact in contacts
        ]
        await self.hear(*[("ContactCreated", one) for one in people])

    async def state(self, sequence_id: str, kind: str = "SequencePublished", /, **more: Any) -> None:
        """A state of a sequence; its number counts on by itself."""
        state = {
            "sequence_id": sequence_id,
            "state_version": next(self.numbers),
            "status": "active",
            "epoch": 0,
            "revision": 1,
            "draft": None,
            "version": 1,
            "published": definition(sequence_id),
            "in_flight": "follow",
            "follow_version": 1,
            "clock_offset_seconds": 0.0,
            "updated_at": format_timestamp(utc_now()),
        }
        await self.hear((kind, {**state, **more}))

    async def enroll(self, sequence_id: str, contacts: Sequence[str]) -> dict[str, str]:
        """Enrollments that begin; by contact."""
        made = {contact: derive("races", sequence_id, contact) for contact in contacts}
        now = format_timestamp(utc_now())
        await self.hear(
            *[
                (
                    "ContactEnrolled",
                    {
                        "enrollment_id": enrollment_id,
                        "contact_id": contact,
                        "sequence_id": sequence_id,
                        "version": 1,
                        "occurred_at": now,
                        "via": "command",
                        "contact_offset": 0,
                    },
                )
                for contact, enrollment_id in made.items()
            ]
        )
        return made


def _health() -> Health:
    return Health(registry=CollectorRegistry())
