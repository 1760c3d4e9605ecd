"""Topics for a test: made once, emptied each time."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from messaging import topics

WAIT_SECONDS_MAX: Final = 30.0
TO_THE_END: Final = -1
"""Of a partition's log, as the protocol says it."""

RawRecord = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Topic, key, value, headers."""


async def provision(kafka: list[str], root: Path) -> None:
    """Every topic of the contract, in the local profile."""
    await topics.provision(kafka, topics.load(root / "deploy/kafka/topics.yaml", "local"))


async def empty(kafka: list[str], names: Sequence[str]) -> None:
    """Delete every record of these topics: a reader from the beginning finds none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        partitions = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics(list(names))
            for partition in topic["partitions"]
        ]
        await admin.delete_records({p: RecordsToDelete(before_offset=TO_THE_END) for p in partitions})
    finally:
        await admin.close()


async def produce(kafka: list[str], records: Sequence[RawRecord], *, partition: int | None = None) -> None:
    """Write raw records, in order; to one partition where it is named, else by their keys."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, max_request_size=2 * 1024 * 1024)
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=key, headers=headers, partition=partition)
            for topic, key, value, headers in records
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read(kafka: list[str], topic: str, *, count: int) -> list[Any]:
    """The first `count` records of a topic, in order by partition; TimeoutError where there are not so many."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[Any] = []
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


async def ends(kafka: list[str], topic: str) -> dict[int, int]:
    """The end of each partition's log."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)])
        return {partition.partition: offset for partition, offset in found.items()}
    finally:
        await consumer.stop()
