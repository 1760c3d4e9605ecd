"""Topics for a test: made once, emptied each time."""

from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from messaging import topics


async def provision(kafka: list[str], root: Path) -> None:
    """Every topic of the contract, in the local profile."""
    await topics.provision(kafka, topics.load(root / "deploy/kafka/topics.yaml", "local"))


async def empty(kafka: list[str], names: Sequence[str]) -> None:
    """Delete every record of these topics: a reader from the beginning finds none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await consumer.start()
    await admin.start()
    try:
        partitions: list[TopicPartition] = []
        for name in names:
            consumer.subscribe([name])
            found = await consumer._client.fetch_all_metadata()
            partitions += [TopicPartition(name, p) for p in found.partitions_for_topic(name) or ()]
        consumer.unsubscribe()
        ends = await consumer.end_offsets(partitions)
        await admin.delete_records({p: RecordsToDelete(before_offset=end) for p, end in ends.items()})
    finally:
        await admin.close()
        await consumer.stop()


async def produce(kafka: list[str], records: Sequence[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]]) -> None:
    """Write raw records (topic, key, value, headers), in order."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, max_request_size=2 * 1024 * 1024)
    await producer.start()
    try:
        for topic, key, value, headers in records:
            await producer.send(topic, value, key=key, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()
