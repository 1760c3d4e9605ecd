"""What is left after a deletion: every table of every schema, and every topic, searched for planted words."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from sluice import Sluice
from sluice_contracts import topics

from testkit.database import sluice_url

SERVICES: Final = ("sequences", "enrollment", "delivery")

_TABLES: Final = """
select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any($1::text[]) and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""


@asynccontextmanager
async def database(admin_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection: nothing is hidden from it."""
    conn = await asyncpg.connect(sluice_url(admin_url))
    try:
        yield conn
    finally:
        await conn.close()


async def rows_with(conn: asyncpg.Connection, word: str) -> dict[str, int]:
    """How many rows of each table hold the word, in text or in bytes; tables without any are left out."""
    found: dict[str, int] = {}
    for (table,) in await conn.fetch(_TABLES, list(SERVICES)):
        count = await conn.fetchval(
            f"select count(*) from {table} t where t::text like $1 or t::text like $2",
            f"%{word}%",
            f"%{word.encode().hex()}%",
        )
        if count:
            found[table] = count
    return found


async def topics_with(sluice: Sluice, word: str) -> dict[str, int]:
    """How many records of each topic hold the word, read from its beginning to its end."""
    needle = word.encode()
    found: dict[str, int] = {}
    for topic in sorted(topics.ALL_TOPICS):
        async for records in sluice.transport.read_to_end(topic):
            count = sum(1 for record in records if record.value is not None and needle in record.value)
            if count:
                found[topic] = found.get(topic, 0) + count
    return found


async def forget_commands_quickly(kafka: Sequence[str], *, milliseconds: int) -> None:
    """Shorten what retention does in a week to what a demo can wait for."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(kafka))
    await admin.start()
    try:
        settings = {"retention.ms": str(milliseconds), "segment.ms": "1000"}
        names = [topics.SEQUENCES_COMMANDS, topics.SEQUENCES_QUARANTINE]
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=settings) for name in names])
    finally:
        await admin.close()


async def tread(kafka: Sequence[str], partitions: dict[str, int]) -> None:
    """Write and delete a key in every partition: Kafka compacts only what is no longer being written to."""
    producer = AIOKafkaProducer(bootstrap_servers=list(kafka))
    await producer.start()
    try:
        for topic, count in partitions.items():
            for partition in range(count):
                await producer.send_and_wait(topic, None, key=b"demo-tread", partition=partition)
    finally:
        await producer.stop()


def books_close(books: dict[str, Any]) -> bool:
    """Every planned message is pending, claimed, or has ended in exactly one way."""
    ends = ("pending", "claimed", "sent", "failed", "dropped", "expired", "unknown")
    return bool(books["planned"] == sum(books[name] for name in ends))


__all__ = ["books_close", "database", "forget_commands_quickly", "rows_with", "topics_with", "tread"]
