"""What our readers are measured beside does the same work."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from chassis.clock import new_id, sleep
from chassis.pool import Conn
from enrollment.settings import MIGRATIONS
from messaging import MIGRATIONS as MESSAGING
from messaging import topics
from messaging.topics import TopicSpec
from sluice_contracts.envelope import HEADERS
from testkit import topics as topic_kit
from testkit.database import fresh_schema, sluice_url
from testkit.stack import Servers

from benchmarks import raw, workload
from benchmarks.loops.process import program
from benchmarks.ratios import rows

CONTACTS = workload.contact_ids(3_000)
PARTITIONS = 3
SECONDS_MAX = 60.0

_ROWS = f"select contact_id from {rows.SCHEMA}.bench_row order by contact_id"


@pytest.fixture
async def conn(running: Servers, admin: asyncpg.Connection) -> AsyncIterator[Conn]:
    """A superuser's connection, where the table that is written to is empty."""
    async with fresh_schema(running, rows.SCHEMA, MESSAGING, MIGRATIONS):
        await admin.execute(rows.TABLE)
        yield admin
        await admin.execute(f"drop table {rows.SCHEMA}.bench_row")


@pytest.mark.stack
async def test_the_loop_that_reads_writes_each_event_and_commits_all_that_it_has_written(
    running: Servers, conn: Conn
) -> None:
    topic, group = f"bench-{new_id()}", new_id()
    spec = TopicSpec(topic, "events", "contact_id", "tests", partitions=PARTITIONS, replication_factor=1, config={})
    await topics.provision(running.kafka, [spec])
    events = [(topic, one.key, one.sent, HEADERS) for one in raw.prepared(CONTACTS)]
    await topic_kit.produce(running.kafka, events)
    told = {"database": sluice_url(running.admin_url), "kafka": running.kafka, "topic": topic, "group": group}

    async with program("loops.consume", told), asyncio.timeout(SECONDS_MAX):
        while len(await conn.fetch(_ROWS)) < len(CONTACTS):
            await sleep(0.1)
        while await _committed(running.kafka, topic, group) < len(CONTACTS):
            await sleep(0.1)

    assert [row[0] for row in await conn.fetch(_ROWS)] == CONTACTS


async def _committed(kafka: list[str], topic: str, group: str) -> int:
    """Of all partitions together: where the group goes on, were it started anew."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return sum(one.offset for place, one in found.items() if place.topic == topic)
