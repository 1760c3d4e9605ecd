"""What is left after a deletion: every table of every schema, and every topic, searched for a planted word."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from chassis.clock import monotonic, sleep
from sluice import Sluice
from sluice_contracts import topics

from testkit.database import sluice_url
from testkit.stack import SERVICES

RETENTION_MILLISECONDS: Final = 1_000
CLEAN_SECONDS_MAX: Final = 60.0
LOOK_SECONDS: Final = 1.0
TREAD: Final = b"demo-tread"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_TABLES: Final = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1::text[]) and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""

_PENDING: Final = "select count(*) from delivery.pending where sequence_id = $1 and token is null"


@asynccontextmanager
async def database(admin_url: str) -> AsyncIterator[Connection]:
    """A superuser's connection: nothing is hidden from it."""
    conn = await asyncpg.connect(sluice_url(admin_url))
    try:
        yield conn
    finally:
        await conn.close()


async def pending(conn: Connection, sequence_id: str) -> int:
    """A full count of what waits to be sent."""
    counted: int = await conn.fetchval(_PENDING, sequence_id)
    return counted


async def rows_with(conn: Connection, word: str) -> dict[str, int]:
    """How many rows of each table hold the word, in text or in bytes; tables without any are left out."""
    found: dict[str, int] = {}
    for (table,) in await conn.fetch(_TABLES, list(SERVICES)):
        count = await conn.fetchval(
            f"select count(*) from {table} t where t::text like $1 or t::text like $2",  # noqa: S608 - names of its own
            f"%{word}%",
            f"%{word.encode().hex()}%",
        )
        if count:
            found[table] = count
    return found


async def topics_without(
    sluice: Sluice, kafka: Sequence[str], word: str, *, tell: Callable[[str], None]
) -> dict[str, int]:
    """Have Kafka do at once what it does in a week, and look until no topic holds the word; what still does."""
    left = await _topics_with(sluice, word)
    tell("before it: " + (", ".join(f"{topic} {count}" for topic, count in left.items()) or "nothing"))
    await _forget_quickly(kafka, [topic for topic in left if topic not in topics.COMPACTED])
    deadline = monotonic() + CLEAN_SECONDS_MAX
    while left and monotonic() < deadline:
        await _tread(sluice, kafka, [topic for topic in left if topic in topics.COMPACTED])
        await sleep(LOOK_SECONDS)
        left = await _topics_with(sluice, word)
    return left


async def _topics_with(sluice: Sluice, word: str) -> dict[str, int]:
    """How many records of each topic hold the word, read from its beginning to its end."""
    needle = word.encode()
    found: dict[str, int] = {}
    for topic in sorted(topics.ALL_TOPICS):
        count = 0
        async for records in sluice.transport.read_to_end(topic):
            count += sum(record.value is not None and needle in record.value for record in records)
        if count:
            found[topic] = count
    return found


async def _forget_quickly(kafka: Sequence[str], names: Sequence[str]) -> None:
    """Retention of a second: the records are older."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(kafka))
    await admin.start()
    try:
        settings = {"retention.ms": str(RETENTION_MILLISECONDS), "segment.ms": str(RETENTION_MILLISECONDS)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=settings) for name in names])
    finally:
        await admin.close()


async def _tread(sluice: Sluice, kafka: Sequence[str], names: Sequence[str]) -> None:
    """Delete a key that never was in every partition: Kafka compacts only what lies before the newest segment."""
    producer = AIOKafkaProducer(bootstrap_servers=list(kafka))
    await producer.start()
    try:
        for topic in names:
            for partition in range(await sluice.transport.partitions(topic)):
                await producer.send(topic, None, key=TREAD, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
