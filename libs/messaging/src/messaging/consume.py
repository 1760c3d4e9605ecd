"""One topic's reader: a FastStream batch subscriber whose offsets stand in the service's schema."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from chassis.backoff import delays
from chassis.cancelling import contained
from chassis.clock import monotonic, sleep, sleep_unless, wall_milliseconds
from chassis.health import Health
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from sluice_contracts import topics

from messaging import offsets
from messaging.fetch import CarefulPoll
from messaging.offsets import Move, OffsetsMoved
from messaging.pipeline import Pipeline
from messaging.routes import TopicRoutes

log = structlog.get_logger()

POLL_RECORDS_MAX: Final = 4_000
POLL_HEAVY_RECORDS_MAX: Final = 500
"""Where records weigh, a poll may become as many transactions, and a stop waits for its end, as Kafka does (300 s)."""
WATCH_SECONDS: Final = 2.0
CONFIRM_SECONDS: Final = 2.0
POLL_FRESH_MILLISECONDS_MAX: Final = 1_500
STALL_SECONDS_MAX: Final = 60.0
RESTART_SECONDS_MAX: Final = 60.0
RESTART_AGAIN_SECONDS: Final = 5.0
CLOSE_SECONDS_MAX: Final = 5.0
ESCAPE_SECONDS: Final = (0.2, 30.0)
FETCH_WAIT_MILLISECONDS: Final = 1_000
SESSION_MILLISECONDS_MAX: Final = 6_000
"""The shortest that a broker accepts by default: so long are the partitions of a killed process unheard."""
REST_MILLISECONDS: Final = 5
"""How long FastStream rests after a poll that brought nothing; what comes meanwhile is late by that."""


class Reader(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Reads one topic from where the database says, and moves that in the transaction of what was read."""

    def __init__(self, broker: KafkaBroker, pipeline: Pipeline, routes: TopicRoutes, health: Health) -> None:
        self.topic: Final = routes.topic
        self._pipeline = pipeline
        self._routes = routes
        self._health = health
        self._positions: dict[int, int] = {}
        self._stopped: set[int] = set()
        self._busy = False
        self._progress = monotonic()
        self._confirmed = 0.0
        self._escapes = delays(*ESCAPE_SECONDS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriber = broker.subscriber(
            self.topic,
            batch=True,
            group_id=f"sluice.{pipeline.source}.{self.topic}",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MILLISECONDS_MAX,
            heartbeat_interval_ms=SESSION_MILLISECONDS_MAX // 4,
            max_records=POLL_HEAVY_RECORDS_MAX if routes.weigh else POLL_RECORDS_MAX,
            batch_timeout_ms=REST_MILLISECONDS,
            fetch_max_wait_ms=FETCH_WAIT_MILLISECONDS,
            partition_assignment_strategy=(StickyPartitionAssignor,),
            listener=self,
            parser=self._parse,
            decoder=_records,
        )
        self._subscriber(self._handle, filter=_every)

    # FastStream decodes header values as UTF-8 and skips the batch where that fails, outside any policy: so nothing
    # of a record is touched before the pipeline does.
    async def _parse(self, records: tuple[ConsumerRecord, ...], _original: Any = None) -> KafkaAckableMessage:
        self._busy = True
        return KafkaAckableMessage(
            body=b"",
            raw_message=records,
            headers={},
            batch_headers=[],
            message_id="",
            consumer=_Committer(self),
        )

    async def _handle(self, records: Sequence[ConsumerRecord]) -> None:
        try:
            await self._pipeline.handle(self._routes, self._readable(records), self._positions)
            self._progress = monotonic()
            self._escapes = delays(*ESCAPE_SECONDS)
        except OffsetsMoved:
            # Never a nack: it would seek back to the batch's first offset and undo the seek below.
            log.info("offsets_moved", topic=self.topic)
            self._take_over({TopicPartition(self.topic, partition) for partition in {r.partition for r in records}})
        except Exception as error:
            # A bug of ours that not even a quarantine ends: the nack that follows reads again, but not at once.
            delay = next(self._escapes)
            log.error("batch_escaped", topic=self.topic, error=type(error).__name__, delay_seconds=round(delay, 2))
            await sleep(delay)
            raise
        finally:
            self._busy = False

    def _readable(self, records: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        """Those that follow what has been handled; the others come again from where the seek puts the reader."""
        by_partition: dict[int, list[ConsumerRecord]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        kept: list[ConsumerRecord] = []
        for number, found in by_partition.items():
            wanted = self._positions.get(number)
            if wanted is None or self._position(number) <= found[-1].offset:
                continue  # being taken over, or fetched before the seek that ended a take-over
            if found[0].offset < wanted:
                # Read before, or the log was put back and filled again: the stored offset decides.
                log.warning("offsets_repeated", topic=self.topic, partition=number, wanted=wanted, got=found[0].offset)
                self._take_over({TopicPartition(self.topic, number)})
                continue
            if found[0].offset > wanted and self.topic not in topics.COMPACTED:
                log.warning("offsets_skipped", topic=self.topic, partition=number, wanted=wanted, got=found[0].offset)
            kept += found
        return kept

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Stop vouching for partitions; what is under way is refused by the offsets' comparison."""
        for partition in revoked:
            self._positions.pop(partition.partition, None)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Read from the stored offsets: pause first, for the assignment is active before this is awaited."""
        consumer = self._consumer()
        if consumer is not None and not isinstance(consumer.getmany, CarefulPoll):
            consumer.getmany = CarefulPoll(consumer)
        if assigned:
            self._take_over(assigned)

    def _take_over(self, partitions: set[TopicPartition]) -> None:
        consumer = self._consumer()
        if consumer is None:
            return
        for partition in partitions:
            self._positions.pop(partition.partition, None)
            self._stopped.discard(partition.partition)
        held = partitions & consumer.assignment()
        if held:
            consumer.pause(*held)
            task = asyncio.create_task(self._seek(consumer, held))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _seek(self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition]) -> None:
        for delay in delays(0.05, 5.0):
            try:
                beginnings = await consumer.beginning_offsets(list(partitions))
                firsts = {partition.partition: offset for partition, offset in beginnings.items()}
                count = len(consumer.partitions_for_topic(self.topic) or firsts)
                async with self._pipeline.pool.acquire() as conn:
                    wanted = await offsets.load(conn, self.topic, beginnings=firsts, partitions=count)
                # The ends are asked for last: the owner before us may have moved on meanwhile, never beyond them.
                ends = await consumer.end_offsets(list(partitions))
                async with self._pipeline.pool.acquire() as conn:
                    for partition in partitions:
                        await self._start(conn, consumer, partition, wanted, beginnings[partition], ends[partition])
                return
            except Exception as error:
                log.warning(
                    "offsets_not_read", topic=self.topic, error=type(error).__name__, delay_seconds=round(delay, 2)
                )
                if not partitions & consumer.assignment():
                    return
                await sleep(delay)

    async def _start(
        self,
        conn: Any,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        wanted: dict[int, int],
        beginning: int,
        end: int,
    ) -> None:
        if partition not in consumer.assignment():
            return
        stored = wanted[partition.partition]
        if stored > end:
            # The log was put back: reading on would hear old things as new. It stays paused until a person decides.
            log.critical("log_put_back", topic=self.topic, partition=partition.partition, stored=stored, end=end)
            self._stopped.add(partition.partition)
            return
        if stored < beginning:
            log.error(
                "records_lost", topic=self.topic, partition=partition.partition, stored=stored, beginning=beginning
            )
            if self._routes.fence is not None:  # stops may have been among them
                await offsets.withhold(conn, self.topic, partition.partition)
            await offsets.skip(conn, self.topic, Move(partition.partition, stored, beginning))
            stored = beginning
        consumer.seek(partition, stored)
        self._positions[partition.partition] = stored
        consumer.resume(partition)

    def _consumer(self) -> AIOKafkaConsumer | None:
        return self._subscriber.consumer

    def caught_up(self) -> dict[int, int]:
        """The positions of the partitions whose every record up to now has been handled."""
        consumer = self._consumer()
        if consumer is None or self._busy:
            return {}
        now = wall_milliseconds()
        done: dict[int, int] = {}
        if _is_spare(consumer):
            self._progress = monotonic()
        for partition in consumer.assignment():
            if partition.partition in self._stopped:
                self._progress = monotonic()
                continue
            wanted = self._positions.get(partition.partition)
            polled = consumer.last_poll_timestamp(partition)
            high = consumer.highwater(partition)
            if wanted is None or high is None or polled is None or not 0 <= now - polled <= POLL_FRESH_MILLISECONDS_MAX:
                continue
            self._progress = monotonic()
            if wanted >= high or self._position(partition.partition) >= high:
                done[partition.partition] = wanted
        return done

    def must_confirm(self) -> bool:
        """A heartbeat each time; a service that may have to catch up is told by its other readers once in a while."""
        if self._routes.heartbeat:
            return True
        due = self._pipeline.guarded and monotonic() - self._confirmed > CONFIRM_SECONDS
        if due:
            self._confirmed = monotonic()
        return due

    async def watch(self, stop: asyncio.Event) -> None:
        """Start the consumer anew where it hangs."""
        name = f"reader:{self.topic}"
        while not stop.is_set():
            self._health.beat(name, every_seconds_max=STALL_SECONDS_MAX * 2)
            # A batch under way waits for the database, not for Kafka.
            if not self._busy and monotonic() - self._progress > STALL_SECONDS_MAX:
                await self._restart()
            await sleep_unless(stop, WATCH_SECONDS)

    async def _restart(self) -> None:
        """A consumer may live on, stuck, after its broker was away: it is made anew."""
        log.error("reader_stalled", topic=self.topic, seconds=STALL_SECONDS_MAX)
        self._positions.clear()
        self.close()
        stuck = self._consumer()
        try:
            async with asyncio.timeout(RESTART_SECONDS_MAX):
                await contained(self._subscriber.stop())
                await contained(self._subscriber.start())
            self._progress = monotonic()
        except Exception as error:
            log.warning("reader_not_started", topic=self.topic, error=type(error).__name__)
            self._progress = monotonic() - STALL_SECONDS_MAX + RESTART_AGAIN_SECONDS
            await _close(stuck)
        self._busy = False

    def close(self) -> None:
        """Give up seeks that are under way: their consumer is about to go."""
        for task in self._tasks:
            task.cancel()

    def _position(self, partition: int) -> int:
        """Where the fetcher stands: behind what it has handed out, and over offsets that carry no record."""
        consumer = self._consumer()
        assignment = None if consumer is None else consumer._subscription.subscription.assignment
        state = None if assignment is None else assignment.state_value(TopicPartition(self.topic, partition))
        return int(state.position) if state is not None and state.has_valid_position else -1


async def _close(stuck: AIOKafkaConsumer | None) -> None:
    """What it left open where it could not be stopped."""
    if stuck is not None:
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await contained(stuck._client.close())


class _Committer:
    """Offsets in Kafka are for lag tools alone: committed with a bound, never in the batch's way."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def commit(self) -> None:
        """Tell Kafka the stored positions; failing is of no consequence."""
        reader = self._reader
        consumer = reader._consumer()
        if consumer is None:
            return
        held = consumer.assignment()
        at = {TopicPartition(reader.topic, p): o for p, o in reader._positions.items()}
        at = {partition: offset for partition, offset in at.items() if partition in held}
        try:
            async with asyncio.timeout(0.5):
                await consumer.commit(at)
        except Exception as error:
            log.debug("offset_not_committed", topic=reader.topic, error=type(error).__name__)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read again from the stored position, whatever the batch's first offset was."""
        self._reader._take_over({partition})


async def _records(message: KafkaAckableMessage, _original: Any = None) -> Any:
    return message.raw_message


# FastStream runs a plain function in a thread; between its poll and our handler nothing else may have a turn, or a
# heartbeat vouches for a batch that is in hand.
async def _every(_message: Any) -> bool:
    return True


def _is_spare(consumer: AIOKafkaConsumer) -> bool:
    """A member of the group that has joined and was given nothing, for there are more members than partitions."""
    subscription = consumer._subscription
    assignment = None if subscription.subscription is None else subscription.subscription.assignment
    return assignment is not None and not assignment.tps and not subscription.reassignment_in_progress
