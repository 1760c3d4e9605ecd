"""Records in, records out: the whole service but Kafka, on a real Postgres."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from chassis.pool import Pool
from enrollment import routes
from enrollment.handlers.erasure import erase_some
from enrollment.loops import ParkedLoop
from enrollment.settings import MIGRATIONS, SCHEMA
from messaging import MIGRATIONS as MESSAGING
from messaging import offsets
from messaging.pipeline import Pipeline
from sluice_contracts.registry import BY_TYPE
from testkit.database import fresh_schema
from testkit.stack import Servers

STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
STATE = {
    "state_version": 1,
    "status": "active",
    "epoch": 0,
    "revision": 1,
    "draft": None,
    "version": 1,
    "published": {"name": "Welcome", "steps": [STEP]},
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": "2026-03-01T12:00:00Z",
}
PERSON = {"state_version": 1, "attributes": {}, "tags": [], "addresses": {"email": "a@example.org"}, "opted_out": False}


@dataclass(slots=True)
class Record:
    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One record of the outbox."""

    topic: str
    key: str
    type: str
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    value: bytes | None


@dataclass
class World:
    """Feeds records to the routes, and takes what is said from the outbox."""

    pool: Pool
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self.pipeline = Pipeline("enrollment", "enrollment", self.pool)
        self.loop = self.restarted_loop()

    def begin(self) -> Any:
        return self.pipeline.begin()

    def restarted_loop(self) -> ParkedLoop:
        self.loop = ParkedLoop(self, parked_seconds_max=10.0)  # type: ignore[arg-type]
        return self.loop

    async def hear(self, *records: tuple[str, str, bytes | None]) -> list[Said]:
        """Handle records of one topic in one batch; what is said then."""
        topic = records[0][0]
        if topic not in self.positions:
            async with self.pool.acquire() as conn:
                self.positions[topic] = await offsets.load(conn, topic, beginnings={0: 0}, partitions=1)
        start = self.positions[topic][0]
        batch = [Record(topic, start + n, key.encode(), value) for n, (_, key, value) in enumerate(records)]
        await self.pipeline.handle(routes.build().topics[topic], batch, self.positions[topic])
        return await self.said()

    def record(
        self, kind: str, data: Mapping[str, Any], *, id_: str = "", key: str = "", source: str = "tests"
    ) -> tuple[str, str, bytes]:
        self.sent += 1
        model = BY_TYPE[f"{kind}.v1"]
        parsed = model.model_validate(data)
        key = key or (parsed.key_of(self.sent) if kind == "EnrollContacts" else parsed.key())  # type: ignore[attr-defined]
        envelope = {"specversion": "1.0", "id": id_ or f"c{self.sent}", "source": source, "type": model.TYPE}
        return model.TOPIC, key, orjson.dumps({**envelope, "actor": "ann", "data": data})

    async def ask(self, kind: str, /, **data: Any) -> list[Said]:
        """One message in a batch of its own."""
        return await self.hear(self.record(kind, data))

    async def sequence(
        self, sequence_id: str = "welcome", *, as_: str = "SequencePublished", **state: Any
    ) -> list[Said]:
        """A state of a sequence; an active one unless said otherwise."""
        return await self.ask(as_, **{**STATE, "sequence_id": sequence_id, **state})

    async def pause(self, sequence_id: str = "welcome", *, state_version: int = 2, epoch: int = 1) -> list[Said]:
        return await self.sequence(
            sequence_id, as_="SequencePaused", status="paused", state_version=state_version, epoch=epoch
        )

    async def delete(self, sequence_id: str = "welcome", *, state_version: int = 9, epoch: int = 1) -> list[Said]:
        gone = {"status": "deleted", "state_version": state_version, "epoch": epoch, "published": None}
        return await self.sequence(sequence_id, as_="SequenceDeleted", **gone)

    async def contacts(self, *contact_ids: str, **state: Any) -> list[Said]:
        """Contacts that are there."""
        people = [{**PERSON, **state, "contact_id": contact_id} for contact_id in contact_ids]
        return await self.hear(*[self.record("ContactCreated", person) for person in people])

    async def enroll(self, contact_id: str = "c", sequence_id: str = "welcome") -> list[Said]:
        return await self.ask("EnrollContact", contact_id=contact_id, sequence_id=sequence_id)

    async def import_on(self, partition: int, *chunks: Sequence[str]) -> None:
        """Imports in a partition of their own, one after the other, as another process would handle them."""
        other = World(self.pool)
        async with self.pool.acquire() as conn:
            positions = await offsets.load(conn, "enrollment.imports", beginnings={partition: 0}, partitions=8)
        for offset, contact_ids in enumerate(chunks):
            data = {"sequence_id": "welcome", "contact_ids": contact_ids}
            topic, key, value = other.record("EnrollContacts", data, source=f"importer-{partition}")
            record = Record(topic, offset, key.encode(), value, partition=partition)
            await other.pipeline.handle(routes.build().topics[topic], [record], positions)

    async def said(self) -> list[Said]:
        """Take what is in the outbox."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch("with o as (delete from outbox returning *) select * from o order by seq")
        return [_said(row["topic"], row["key"], row["value"]) for row in rows]

    async def caught_up(self, seconds_ago: float, *topics: str) -> None:
        """The readers of these topics had caught up so long ago."""
        async with self.pool.acquire() as conn:
            await conn.execute(
                "update consumer_offset set caught_up_at = clock_timestamp() - make_interval(secs => $1) "
                "where topic = any($2::text[])",
                seconds_ago,
                topics,
            )

    async def age_parked(self, seconds: float) -> None:
        async with self.pool.acquire() as conn:
            await conn.execute("update parked set parked_at = parked_at - make_interval(secs => $1)", seconds)

    async def decide_parked(self) -> list[Said]:
        """What the loop does until nothing is left to do; what is said then."""
        while await self.loop.decide_some():
            pass
        return await self.said()

    async def erase(self) -> list[Said]:
        """What the erasure loop does until nothing is left to do; what is said then."""
        more = True
        while more:
            async with self.begin() as tx:
                more = await erase_some(tx)
        return await self.said()

    async def rows(self, table: str, where: str = "true") -> int:
        async with self.pool.acquire() as conn:
            count: int = await conn.fetchval(f"select count(*) from {table} where {where}")
        return count


def _said(topic: str, key: bytes, value: bytes | None) -> Said:
    envelope = {} if value is None else orjson.loads(value)
    kind = envelope.get("type", "").removesuffix(".v1")
    return Said(topic, key.decode(), kind, envelope.get("data", {}), envelope, value)


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened:
        yield opened


@pytest.fixture
def world(pool: Pool) -> World:
    return World(pool)
