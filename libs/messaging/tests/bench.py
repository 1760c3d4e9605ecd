"""What every test here stands on: a service of its own on real servers, and records in and out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from chassis.clock import monotonic
from chassis.health import Health
from chassis.pool import Pool
from messaging import Batch, Cause, Decision, Fence, Message, Refused, Routes, Service, Tombstone, Tx
from prometheus_client import CollectorRegistry
from sluice_contracts import topics
from sluice_contracts.contacts import ContactCreated
from sluice_contracts.delivery import StepsFinished
from sluice_contracts.sequences import PauseSequence, SequencePaused
from testkit import topics as topic_kit
from testkit.stack import Servers
from testkit.topics import RawRecord

ROOT: Final = Path(__file__).parents[3]
NAME: Final = "sequences"
WAIT_SECONDS_MAX: Final = 90.0
"""Only a test that fails waits so long: the machine may have much else to do."""
USED: Final = (
    topics.SEQUENCES_COMMANDS,
    topics.SEQUENCES_ANSWERS,
    topics.SEQUENCES_EVENTS,
    topics.SEQUENCES_CONTROL,
    topics.SEQUENCES_QUARANTINE,
    topics.CONTACTS_EVENTS,
    topics.DELIVERY_EVENTS,
)
TIMES: Final = "2026-03-01T12:00:00Z"
STATE: Final = {
    "state_version": 5,
    "status": "paused",
    "epoch": 3,
    "revision": 1,
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": TIMES,
}
CONTACT: Final = {"state_version": 1, "attributes": {}, "tags": [], "addresses": {}, "opted_out": False}
STEPS: Final = {"contact_id": "c", "sequence_id": "s", "version": 1, "occurred_at": TIMES}


def cloud_event(event_type: str, event_id: str, data: Any, **attributes: Any) -> bytes:
    """A structured envelope."""
    known = {"specversion": "1.0", "id": event_id, "source": "test", "type": event_type, "data": data}
    return orjson.dumps(known | attributes)


def command(key: str, command_id: str, kind: str = "PauseSequence.v1", **data: Any) -> RawRecord:
    """A command about the sequence `key`."""
    value = cloud_event(kind, command_id, {"sequence_id": key, **data})
    return topics.SEQUENCES_COMMANDS, key.encode(), value, []


def state(key: str, event_id: str, kind: str = "SequencePaused.v1", **data: Any) -> RawRecord:
    """A record of `sequences.events`."""
    value = cloud_event(kind, event_id, STATE | {"sequence_id": key} | data)
    return topics.SEQUENCES_EVENTS, key.encode(), value, []


def contact(key: str, event_id: str, **data: Any) -> RawRecord:
    """A record of `contacts.events`."""
    value = cloud_event("ContactCreated.v1", event_id, CONTACT | {"contact_id": key} | data)
    return topics.CONTACTS_EVENTS, key.encode(), value, []


def steps(key: str, event_id: str, kind: str = "StepsFinished.v1", **data: Any) -> RawRecord:
    """A record of `delivery.events`, a bulk topic whose records nobody answers."""
    value = cloud_event(kind, event_id, STEPS | {"contact_id": key, "enrollment_id": "e"} | data)
    return topics.DELIVERY_EVENTS, key.encode(), value, []


@dataclass
class Recorder:
    """Handlers that note what they see. A reason (or an enrollment's id) `poison` makes them fail, `refuse` refuse."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    """Key and record id, of batches that went through or were undone."""
    batches: list[int] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)
    causes: dict[str, Cause] = field(default_factory=dict)
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited amid each batch."""

    async def pause(self, batch: Batch[PauseSequence], tx: Tx) -> None:
        """Answer each; its effect is a row."""
        decided = batch.decide(self._decide)
        await self._effects(batch, tx)
        tx.emit(decided)

    async def note(self, batch: Batch[Any], tx: Tx) -> None:
        """An event: its effect is a row."""
        for message in batch:
            if getattr(message.data, "enrollment_id", None) == "poison":
                raise ZeroDivisionError
        await self._effects(batch, tx)

    async def bury(self, tombstones: Sequence[Tombstone], tx: Tx) -> None:
        """Note the keys that are gone."""
        self.gone += [tombstone.key for tombstone in tombstones]

    async def fence(self, fences: Sequence[Fence], tx: Tx) -> None:
        """Note what would be closed; a status `poison` makes even that fail."""
        if any(fence.status == "poison" for fence in fences):
            raise ZeroDivisionError
        self.fences += fences
        await tx.conn.executemany(EFFECT, [("fence", fence.key) for fence in fences])

    def _decide(self, message: Message[PauseSequence]) -> Decision[None]:
        match message.data.reason:
            case "refuse":
                raise Refused("wrong_state", "not now")
            case "poison":
                raise ZeroDivisionError
            case "defer":
                return Decision(deferred=True)
            case "announce":
                announced = SequencePaused(**STATE | {"sequence_id": message.key})
                return Decision(messages=(announced,), result={"epoch": 1})
            case _:
                return Decision(result={"epoch": 1})

    async def _effects(self, batch: Batch[Any], tx: Tx) -> None:
        self.batches.append(len(batch))
        self.seen += [(message.key, message.cause.id) for message in batch]
        self.causes |= {message.cause.id: message.cause for message in batch}
        await tx.conn.executemany(EFFECT, [(message.cause.id, message.key) for message in batch])
        if self.before is not None:
            await self.before()


EFFECT: Final = "insert into effect (record, key) values ($1, $2)"


def commands_only(recorder: Recorder) -> Routes:
    """Reads `sequences.commands`."""
    routes = Routes(NAME)
    routes.on(PauseSequence, recorder.pause)
    return routes


def everything(recorder: Recorder) -> Routes:
    """Reads one topic of each sort: commands, a fenced one that is compacted, another compacted one, and a bulk one."""
    routes = commands_only(recorder)
    routes.on(SequencePaused, recorder.note)
    routes.on_tombstone(topics.SEQUENCES_EVENTS, recorder.bury)
    routes.fence(topics.SEQUENCES_EVENTS, recorder.fence)
    routes.heartbeat(topics.SEQUENCES_EVENTS)
    routes.without_inbox(topics.SEQUENCES_EVENTS)
    routes.on(ContactCreated, recorder.note)
    routes.on_tombstone(topics.CONTACTS_EVENTS, recorder.bury)
    routes.without_inbox(topics.CONTACTS_EVENTS)
    routes.on(StepsFinished, recorder.note)
    return routes


@dataclass
class Bench:
    """A schema, a cluster, and what one does with them."""

    servers: Servers
    pool: Pool
    since: topic_kit.Ends
    """Where the topics ended when the test began."""
    owner: "asyncpg.Connection[asyncpg.Record]"
    """The schema's owner, who may do what a service may not."""

    @asynccontextmanager
    async def service(self, routes: Routes) -> AsyncIterator[Service]:
        """A service that runs while the block does, and is stopped as an operator stops it."""
        health = Health(registry=CollectorRegistry())
        service = Service(routes=routes, pool=self.pool, kafka=self.servers.kafka, health=health)
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            yield service
        finally:
            stop.set()
            await task

    async def send(self, *records: RawRecord, partition: int | None = None) -> None:
        """Write records to Kafka."""
        await topic_kit.produce(self.servers.kafka, records, partition=partition)

    async def send_by_hand(
        self, topic: str, partition: int, header: str, key: bytes | None, value: bytes | None
    ) -> None:
        """Write what aiokafka's own producer refuses to: no key and no value, a header's name that is no text."""
        producer = AIOKafkaProducer(bootstrap_servers=self.servers.kafka)
        await producer.start()
        try:
            batch = producer.create_batch()
            batch._builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, 0, 16_384)
            batch.append(timestamp=None, key=key, value=value, headers=[(header, b"1")])
            sent = await producer.send_batch(batch, topic, partition=partition)
            await asyncio.wait_for(sent, WAIT_SECONDS_MAX)
        finally:
            await producer.stop()

    async def read(self, topic: str, count: int) -> list[Any]:
        """The first `count` records of a topic."""
        return await topic_kit.read(self.servers.kafka, topic, count=count, since=self.since)

    async def answers(self, count: int) -> dict[str, str]:
        """The first `count` answers: `accepted` or the code, by the command's id."""
        found = {}
        for record in await self.read(topics.SEQUENCES_ANSWERS, count):
            found[record.key.decode()] = orjson.loads(record.value)["data"].get("code", "accepted")
        return found

    async def effects(self) -> Counter[str]:
        """How often each record has had its effect."""
        return Counter([row[0] for row in await self.pool.fetch("select record from effect")])

    async def order(self) -> dict[str, list[str]]:
        """The records of each key, in the order in which they had their effects."""
        found: dict[str, list[str]] = {}
        for record, key in await self.pool.fetch("select record, key from effect order by place"):
            found.setdefault(key, []).append(record)
        return found

    async def lock_out(self, table: str) -> None:
        """Have every insert of the service into a table fail, for a reason that waiting does not mend."""
        await self.owner.execute(f"revoke insert on {table} from {NAME}_app")

    async def let_in(self, table: str) -> None:
        """Undo that."""
        await self.owner.execute(f"grant insert on {table} to {NAME}_app")

    async def until(self, sql: str, *arguments: Any, seconds_max: float = WAIT_SECONDS_MAX) -> Any:
        """Ask the database until the answer is true; it."""
        deadline = monotonic() + seconds_max
        while True:
            try:
                found = await self.pool.fetchval(sql, *arguments)
            except Exception:
                if monotonic() > deadline:
                    raise
                found = None
            if found:
                return found
            if monotonic() > deadline:
                raise TimeoutError(f"after {seconds_max} s not yet: {sql}")
            await asyncio.sleep(0.02)

    async def settled(self, count: int, *, seconds_max: float = WAIT_SECONDS_MAX) -> None:
        """Wait for so many effects, and for an outbox that is empty."""
        sql = "select (select count(*) from effect) >= $1 and not exists (select from outbox)"
        await self.until(sql, count, seconds_max=seconds_max)


async def see(condition: Callable[[], bool]) -> None:
    """Wait until it is true; TimeoutError where that takes too long."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - what is waited for is no event of ours
            await asyncio.sleep(0.02)


def headers_of(record: Any) -> dict[str, bytes]:
    """A record's headers by name."""
    return dict(record.headers)
