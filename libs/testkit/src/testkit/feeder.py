"""Records in, records out: a whole service but for Kafka, on a real Postgres."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from chassis.pool import Pool
from messaging import Routes, Tx, offsets
from messaging.pipeline import Pipeline
from sluice_contracts.registry import BY_TYPE

Raw = tuple[str, str | bytes, bytes | None]
"""A record's topic, key and value."""

_TAKE: Final = "with taken as (delete from outbox returning *) select topic, key, value from taken order by seq"


@dataclass(slots=True)
class Record:
    """A record as the pipeline takes it."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One record of the outbox; what was set aside has the type `quarantined`, and nothing else is read of it."""

    topic: str
    key: str
    type: str
    """Without its version; empty for a tombstone."""
    data: Mapping[str, Any]
    envelope: Mapping[str, Any]
    value: bytes | None


class Feeder:
    """Hands records to a service's routes and takes what it says from its outbox; its tests add their own words."""

    def __init__(self, pool: Pool, *, service: str, routes: Callable[[], Routes]) -> None:
        self.pool = pool
        self.pipeline = Pipeline(service, service, pool)
        self.positions: dict[str, dict[int, int]] = {}
        self.numbers = itertools.count(1)
        self.routes = routes

    def restart(self) -> None:
        """A new process, which knows nothing of before; one that has loops makes them anew."""

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """A transaction, as a loop begins one."""
        return self.pipeline.begin()

    def record(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        id_: str = "",
        key: str = "",
        source: str = "tests",
        actor: str | None = "ann",
        time: str | None = None,
    ) -> tuple[str, str, bytes]:
        """A message of the contract, with an id of its own unless said otherwise."""
        model = BY_TYPE[f"{kind}.v1"]
        key = key or model.model_validate(data).key()
        number = next(self.numbers)
        envelope = {"specversion": "1.0", "id": id_ or f"r{number}", "source": source, "type": model.TYPE}
        more = {name: value for name, value in {"actor": actor, "time": time}.items() if value is not None}
        return model.TOPIC, key, orjson.dumps({**envelope, **more, "data": data})

    async def feed(self, *records: Raw, partition: int = 0) -> None:
        """Handle records of one topic in one batch."""
        topic = records[0][0]
        positions = self.positions.setdefault(topic, {})
        if partition not in positions:
            async with self.pool.acquire() as conn:
                positions |= await offsets.load(conn, topic, beginnings={partition: 0}, partitions=partition + 1)
        batch = [
            Record(topic, offset, key if isinstance(key, bytes) else key.encode(), value, partition=partition)
            for offset, (_, key, value) in enumerate(records, start=positions[partition])
        ]
        await self.pipeline.handle(self.routes().topics[topic], batch, positions)

    async def hear(self, *records: Raw) -> list[Said]:
        """Handle records of one topic in one batch; what is said then."""
        await self.feed(*records)
        return await self.said()

    async def said(self) -> list[Said]:
        """Take what is in the outbox, in its order."""
        async with self.pool.acquire() as conn:
            return [_said(row["topic"], row["key"], row["value"]) for row in await conn.fetch(_TAKE)]

    async def rows(self, table: str, where: str = "true") -> int:
        """How many rows of a table are so."""
        async with self.pool.acquire() as conn:
            count: int = await conn.fetchval(f"select count(*) from {table} as t where {where}")  # noqa: S608
        return count


def _said(topic: str, key: bytes | None, value: bytes | None) -> Said:
    name = (key or b"").decode(errors="replace")
    if topic.endswith(".quarantine"):
        return Said(topic, name, "quarantined", {}, {}, value)
    envelope = {} if value is None else orjson.loads(value)
    return Said(topic, name, envelope.get("type", "").removesuffix(".v1"), envelope.get("data", {}), envelope, value)
