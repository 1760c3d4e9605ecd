"""Topics for a test: made once; each test goes by where they end when it begins."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from messaging import topics

WAIT_SECONDS_MAX: Final = 90.0
RawRecord = tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Topic, key, value, headers."""
Ends = dict[TopicPartition, int]


async def provision(kafka: list[str], root: Path) -> None:
    """Every topic of the contract, in the local profile."""
    await topics.provision(kafka, topics.load(root / "deploy/kafka/topics.yaml", "local"))


async def ends(kafka: list[str], names: Sequence[str]) -> Ends:
    """Where these topics end: what a test writes and reads stands behind it."""
    consumer = AIOKafkaConsumer(*names, bootstrap_servers=kafka)
    await consumer.start()
    try:
        return dict(await consumer.end_offsets(list(consumer.assignment())))
    finally:
        await consumer.stop()


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


async def read(kafka: list[str], topic: str, *, count: int, since: Ends) -> list[Any]:
    """The first `count` records of a topic behind `since`; TimeoutError where there are fewer."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka)
    await consumer.start()
    try:
        for partition in consumer.assignment():
            consumer.seek(partition, since[partition])
        found: list[Any] = []
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found
    finally:
        await consumer.stop()
