"""What only a real Kafka, or its absence, can show."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sluice import Sluice, TopicMissing, Unreachable
from sluice._clock import monotonic, new_id
from sluice.kafka import CONNECT_SECONDS_MAX, KafkaTransport
from sluice.transport import Place, partition_of
from testkit.stack import Servers

FAST_SECONDS = CONNECT_SECONDS_MAX + 3


async def test_a_closed_port_is_one_error_at_once() -> None:
    started = monotonic()

    with pytest.raises(Unreachable, match="cannot be reached"):
        async with Sluice("127.0.0.1:1"):
            pass

    assert monotonic() - started < FAST_SECONDS


async def test_a_server_that_says_nothing_is_one_error_within_seconds() -> None:
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    started = monotonic()

    with pytest.raises(Unreachable, match="did not answer"):
        async with Sluice(f"127.0.0.1:{port}"):
            pass

    silent.close()
    assert monotonic() - started < 2 * FAST_SECONDS


@asynccontextmanager
async def made_topic(servers: list[str], *, partitions: int) -> AsyncIterator[str]:
    """A topic for one test."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    name = f"test.{new_id()}"
    await admin.create_topics([NewTopic(name, partitions, 1)])
    try:
        yield name
    finally:
        await admin.delete_topics([name])
        await admin.close()


@pytest.mark.stack
async def test_a_kafka_without_the_topics_says_which_is_missing(running: Servers) -> None:
    transport = KafkaTransport(running.kafka)
    await transport.start()
    started = monotonic()

    with pytest.raises(TopicMissing, match="not\\.there"):
        await transport.send("not.there", key="k", value=b"")

    await transport.stop()
    assert monotonic() - started < FAST_SECONDS


@pytest.mark.stack
async def test_a_key_lies_on_the_partition_that_the_producer_chose(running: Servers) -> None:
    async with made_topic(running.kafka, partitions=7) as topic:
        transport = KafkaTransport(running.kafka)
        await transport.start()
        keys = [new_id() for _ in range(50)] + ["é", "k"]
        for key in keys:
            await (await transport.send(topic, key=key, value=key.encode()))

        found = [record async for batch in transport.read_to_end(topic) for record in batch]

        await transport.stop()
    assert {(record.key or b"").decode(): record.partition for record in found} == {
        key: partition_of(key, 7) for key in keys
    }


@pytest.mark.stack
async def test_reading_to_the_end_ends_behind_a_transaction_marker(running: Servers) -> None:
    async with made_topic(running.kafka, partitions=1) as topic:
        writer = AIOKafkaProducer(bootstrap_servers=running.kafka, transactional_id=new_id())
        async with writer, writer.transaction():
            await writer.send_and_wait(topic, b"value", key=b"key")
        transport = KafkaTransport(running.kafka)
        await transport.start()

        async with asyncio.timeout(10):
            found = [record async for batch in transport.read_to_end(topic) for record in batch]

        await transport.stop()
    assert [record.value for record in found] == [b"value"]


@pytest.mark.stack
async def test_an_empty_topic_is_read_at_once(running: Servers) -> None:
    async with made_topic(running.kafka, partitions=3) as topic:
        transport = KafkaTransport(running.kafka)
        await transport.start()

        async with asyncio.timeout(10):
            found = [record async for batch in transport.read_to_end(topic) for record in batch]

        await transport.stop()
    assert found == []


async def test_a_reader_that_lets_a_cancellation_out_when_it_is_stopped_does_not_end_who_stops_it(
    running: Servers,
) -> None:
    async with made_topic(running.kafka, partitions=1) as topic:
        transport = KafkaTransport(running.kafka)
        await transport.start()
        reader = await transport.reader()
        reader.assign({Place(topic, 0): 0})
        fetching = asyncio.create_task(asyncio.sleep(60))  # as a fetch under way, which `stop` cancels and awaits
        reader._consumer._fetcher._pending_tasks.add(fetching)
        reader._consumer._fetcher._fetch_task.cancel()
        await asyncio.wait({reader._consumer._fetcher._fetch_task})
        stopping = asyncio.create_task(reader.stop())
        await asyncio.wait({stopping})
        await transport.stop()

    assert fetching.cancelled()
    assert not stopping.cancelled()
