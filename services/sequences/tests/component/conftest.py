"""Records in, records out: the whole service but Kafka, on a real Postgres."""

from collections.abc import AsyncIterator, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from chassis.pool import Pool
from messaging import MIGRATIONS as MESSAGING
from messaging import offsets
from messaging.pipeline import Pipeline
from pydantic import SecretStr
from sequences import routes
from sequences.handlers import erasures, timers
from sequences.settings import MIGRATIONS, SCHEMA, SequencesSettings
from sequences.store import sequences
from sluice_contracts import topics
from sluice_contracts.registry import BY_TYPE
from testkit.database import fresh_schema
from testkit.stack import Servers

CANARY = "canary-7b1f"
STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
DEFINITION = {"name": CANARY, "steps": [STEP]}
RECEIVED = {"closed_at": "2026-03-01T12:00:00Z", "halted_at": "2026-03-01T12:00:00Z"}


@dataclass(slots=True)
class Record:
    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Rows[tuple[str, bytes | None]] = ()
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One record of the outbox."""

    topic: str
    key: str
    type: str | None
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    value: bytes | None


@dataclass
class Service:
    """Feeds records to the routes, and takes what is said from the outbox."""

    pool: Pool
    settings: SequencesSettings
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    sent: int = 0

    async def hear(self, *records: tuple[str, str, bytes | None]) -> list[Said]:
        """Handle records of one topic in one batch; what is said then."""
        topic = records[0][0]
        pipeline = Pipeline("sequences", "sequences", self.pool)
        if topic not in self.positions:
            async with self.pool.acquire() as conn:
                self.positions[topic] = await offsets.load(conn, topic, beginnings={0: 0}, partitions=1)
        start = self.positions[topic][0]
        batch = [Record(topic, start + n, key.encode(), value) for n, (_, key, value) in enumerate(records)]
        await pipeline.handle(routes.build(self.settings).topics[topic], batch, self.positions[topic])
        return await self.said()

    async def ask(self, *asked: tuple[str, Mapping[str, Any]], actor: str = "ann") -> list[Said]:
        """Messages of one topic, by type and data, in one batch."""
        return await self.hear(*[self.record(kind, data, actor=actor) for kind, data in asked])

    def record(self, kind: str, data: Mapping[str, Any], *, actor: str = "ann") -> tuple[str, str, bytes]:
        self.sent += 1
        model = BY_TYPE[f"{kind}.v1"].model_validate(data)
        envelope = {"specversion": "1.0", "id": f"c{self.sent}", "source": "tests", "type": model.TYPE, "actor": actor}
        return model.TOPIC, model.key(), orjson.dumps({**envelope, "data": data})

    async def said(self) -> list[Said]:
        """Take what is in the outbox."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch("with o as (delete from outbox returning *) select * from o order by seq")
        return [_said(row["topic"], row["key"], row["value"]) for row in rows]

    async def erase(self) -> list[Said]:
        """What the erasure loop does until nothing is left to do."""
        pipeline = Pipeline("sequences", "sequences", self.pool)
        more = True
        while more:
            async with pipeline.begin() as tx:
                more = await erasures.erase_some(tx, sequences_max=2, versions_max=2)
        return await self.said()

    async def resume_due(self) -> list[Said]:
        """What the loop of the timers does in one round."""
        async with self.pool.acquire() as conn:
            due = await sequences.due(conn, limit=10)
        async with Pipeline("sequences", "sequences", self.pool).begin() as tx:
            await timers.resume_due(due, tx)
        return await self.said()

    async def receive(self, epoch: int, *, sequence_id: str = "welcome") -> list[Said]:
        """Both receipts of a stop."""
        common = {"sequence_id": sequence_id, "epoch": epoch}
        first = await self.ask(("EntryClosed", {**common, "closed_at": RECEIVED["closed_at"]}))
        halted = {**common, "dropped": 5, "in_flight": 1, "halted_at": RECEIVED["halted_at"]}
        return [*first, *await self.ask(("SequenceHalted", halted))]

    async def erased(self, service: str, *, sequence_id: str = "welcome") -> list[Said]:
        return await self.ask(("SequenceErased", {"sequence_id": sequence_id, "service": service, "rows": {"row": 3}}))

    async def published(self, sequence_id: str = "welcome") -> None:
        """A sequence that runs."""
        one = {"sequence_id": sequence_id}
        await self.ask(("SaveSequence", {**one, "definition": DEFINITION}), ("PublishSequence", one))

    async def stopped(self, sequence_id: str = "welcome", **pause: Any) -> None:
        """A sequence that is paused, with both receipts."""
        await self.published(sequence_id)
        await self.ask(("PauseSequence", {"sequence_id": sequence_id, **pause}))
        await self.receive(1, sequence_id=sequence_id)

    async def rows(self, table: str) -> int:
        async with self.pool.acquire() as conn:
            count: int = await conn.fetchval(f"select count(*) from {table}")
        return count


def _said(topic: str, key: bytes, value: bytes | None) -> Said:
    envelope = {} if value is None or topic == topics.SEQUENCES_QUARANTINE else orjson.loads(value)
    return Said(topic, key.decode(), envelope.get("type"), envelope.get("data", {}), envelope, value)


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened:
        yield opened


@pytest.fixture
def service(pool: Pool) -> Service:
    settings = SequencesSettings(
        database_url=SecretStr("postgresql://unused@127.0.0.1/unused"),
        kafka_bootstrap_servers=["127.0.0.1:1"],
        erasing_services=["sequences", "enrollment", "delivery"],
    )
    return Service(pool, settings)
