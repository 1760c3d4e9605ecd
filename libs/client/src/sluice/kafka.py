"""The transport on a real Kafka, through aiokafka."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from sluice_contracts.envelope import HEADERS

from sluice._clock import monotonic
from sluice.errors import CommandRefused, TopicMissing, Unreachable
from sluice.transport import Place, Reader, Record, Start

CONNECT_SECONDS_MAX: Final = 5.0
STALL_SECONDS_MAX: Final = 15.0
FETCH_WAIT_MS: Final = 100
READ_SECONDS: Final = 0.5
RECORDS_MAX: Final = 5_000
LINGER_MS: Final = 3
BATCH_BYTES_MAX: Final = 128 * 1024

T = TypeVar("T")


class KafkaReader:
    """One aiokafka consumer."""

    def __init__(self, consumer: AIOKafkaConsumer, *, grouped: bool) -> None:
        self._consumer = consumer
        self._grouped = grouped

    def assign(self, offsets: Mapping[Place, int]) -> None:
        partitions = {place: TopicPartition(*place) for place in offsets}
        self._consumer.assign(list(partitions.values()))
        for place, partition in partitions.items():
            self._consumer.seek(partition, offsets[place])

    async def read(self, *, seconds_max: float) -> list[Record]:
        try:
            batches = await self._consumer.getmany(timeout_ms=int(seconds_max * 1000), max_records=RECORDS_MAX)
        except KafkaError as error:
            raise Unreachable(f"Reading from Kafka failed: {_name(error)}.") from error
        return [
            Record(found.topic, found.partition, found.offset, found.key, found.value, found.headers)
            for batch in batches.values()
            for found in batch
        ]

    async def commit(self) -> None:
        if self._grouped:
            with suppress(KafkaError, TimeoutError):  # after a rebalance another member reads them again
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    await self._consumer.commit()

    async def stop(self) -> None:
        await _ended(self._consumer.stop())

    async def position(self, place: Place) -> int:
        """The offset that is read next; it also moves over gaps that compaction left inside a batch."""
        return int(await self._consumer.position(TopicPartition(*place)))

    def polled_ms(self, place: Place) -> int:
        """When Kafka last told the state of that partition; 0 before the first time."""
        return int(self._consumer.last_poll_timestamp(TopicPartition(*place)) or 0)


class KafkaTransport:
    """A cluster at `servers`. `options` go to every aiokafka client: TLS, SASL, and the like."""

    def __init__(self, servers: Sequence[str], *, options: Mapping[str, Any] | None = None) -> None:
        self._servers = list(servers)
        self._options = {"client_id": "sluice", **(options or {})}
        self._producer: AIOKafkaProducer | None = None
        self._failed: list[AIOKafkaProducer] = []
        self._asking: AIOKafkaConsumer | None = None
        self._partitions: dict[str, int] = {}
        self._making = asyncio.Lock()

    async def start(self) -> None:
        await self._live_producer()

    async def stop(self) -> None:
        producers = [*self._failed, *([self._producer] if self._producer else [])]
        asking, self._asking = self._asking, None
        self._producer, self._failed = None, []
        await asyncio.gather(*(_close(producer) for producer in producers))
        if asking is not None:
            await KafkaReader(asking, grouped=False).stop()

    async def partitions(self, topic: str) -> int:
        if topic not in self._partitions:
            producer = await self._live_producer()
            cluster = await self._bounded(producer.client.fetch_all_metadata)
            self._partitions.update({name: len(cluster.partitions_for_topic(name) or ()) for name in cluster.topics()})
        if not self._partitions.get(topic):
            raise TopicMissing(topic)
        return self._partitions[topic]

    async def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        return await self._offsets(places, "end_offsets")

    async def begins(self, places: Sequence[Place]) -> dict[Place, int]:
        return await self._offsets(places, "beginning_offsets")

    async def send(self, topic: str, *, key: str, value: bytes | None) -> "asyncio.Future[object]":
        if not self._partitions.get(topic):
            await self.partitions(topic)
        producer = self._producer or await self._live_producer()
        try:
            future: asyncio.Future[object] = await producer.send(topic, value=value, key=key.encode(), headers=HEADERS)
        except MessageSizeTooLargeError as error:
            raise CommandRefused("limit", "The record is larger than Kafka takes; nothing was sent.") from error
        except KafkaError as error:
            raise Unreachable(f"Kafka does not take records: {_name(error)}.") from error
        future.add_done_callback(partial(self._judge, producer))
        return future

    async def reader(self) -> KafkaReader:
        return KafkaReader(await self._consumer(), grouped=False)

    async def subscribe(self, topics: Sequence[str], *, group: str, start: Start) -> Reader:
        for topic in topics:
            await self.partitions(topic)
        return KafkaReader(await self._consumer(*topics, group_id=group, auto_offset_reset=start), grouped=True)

    async def read_to_end(self, topic: str, *, partition: int | None = None) -> AsyncGenerator[list[Record], None]:
        numbers = range(await self.partitions(topic)) if partition is None else [partition]
        places = [Place(topic, number) for number in numbers]
        ends = await self.ends(places)
        begins = await self.begins(places)
        unread = {place: ends[place] for place in places if begins[place] < ends[place]}
        if not unread:
            return
        reader = await self.reader()
        try:
            reader.assign({place: begins[place] for place in unread})
            async for batch in _drain(reader, unread):
                yield batch
        finally:
            await reader.stop()

    async def _offsets(self, places: Sequence[Place], which: str) -> dict[Place, int]:
        async with self._making:
            if self._asking is None:
                self._asking = await self._consumer()
        ask: Callable[..., Awaitable[dict[TopicPartition, int]]] = getattr(self._asking, which)
        found = await self._bounded(lambda: ask([TopicPartition(*place) for place in places]))
        return {Place(partition.topic, partition.partition): offset for partition, offset in found.items()}

    async def _consumer(self, *topics: str, **options: Any) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            **{"auto_offset_reset": "earliest", **self._options, **options},
        )
        try:
            await self._bounded(consumer.start)
        except BaseException:
            await KafkaReader(consumer, grouped=False).stop()
            raise
        return consumer

    async def _live_producer(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._servers,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=LINGER_MS,
                    max_batch_size=BATCH_BYTES_MAX,
                    **self._options,
                )
                try:
                    await self._bounded(producer.start)
                except BaseException:
                    await _close(producer)
                    raise
                self._producer = producer
            return self._producer

    def _judge(self, producer: AIOKafkaProducer, future: "asyncio.Future[object]") -> None:
        """An idempotent producer that failed once may never recover: the next record gets a new one."""
        if producer is self._producer and not future.cancelled() and future.exception() is not None:
            self._failed.append(producer)
            self._producer = None

    async def _bounded(self, work: Callable[[], Awaitable[T]]) -> T:
        where = ", ".join(self._servers)
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                return await work()
        except TimeoutError as error:
            raise Unreachable(f"Kafka at {where} did not answer within {CONNECT_SECONDS_MAX:g} s.") from error
        except (KafkaError, OSError) as error:
            raise Unreachable(f"Kafka at {where} cannot be reached.") from error


async def _drain(reader: KafkaReader, unread: dict[Place, int]) -> AsyncGenerator[list[Record], None]:
    """Read until every partition is at its end. Compaction may have removed the last records before it: where a
    fetch that was answered after the last record brought nothing, there is nothing left.
    """
    progressed = monotonic()
    polled: dict[Place, int] = {}
    while unread:
        batch = await reader.read(seconds_max=READ_SECONDS)
        if batch:
            progressed = monotonic()
            polled.clear()
            yield batch
        for place in list(unread):
            answered = reader.polled_ms(place)
            quiet = not batch and answered > polled.setdefault(place, answered)
            if quiet or await reader.position(place) >= unread[place]:
                del unread[place]
        if monotonic() - progressed > STALL_SECONDS_MAX:
            raise Unreachable(f"Kafka stopped answering: nothing was read for {STALL_SECONDS_MAX:g} s.")


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop a producer within a bound, also where it holds records that Kafka will never take."""
    await _ended(producer.stop())


async def _ended(stopping: Coroutine[Any, Any, None]) -> None:
    """Wait within a bound until a client has stopped, whatever comes of it.

    In a task of its own: aiokafka lets the cancellation of its own fetches out where it is stopped, and would cancel
    with it who waits.
    """
    task = asyncio.create_task(stopping)
    try:
        await asyncio.wait({task}, timeout=CONNECT_SECONDS_MAX)
    finally:
        task.cancel()
    with suppress(KafkaError, OSError, asyncio.CancelledError):
        if task.done():
            task.result()


def _name(error: BaseException) -> str:
    return type(error).__name__.removesuffix("Error")
