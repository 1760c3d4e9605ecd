"""What the Kafka client does with a record that it cannot read, made harmless.

aiokafka decodes the names of headers as UTF-8, strictly (a header's value is bytes to it). Where one is not, its poll
raises, again and again, for it stays where it is; and what it had taken from other partitions in the same poll is lost,
for their positions have moved on. So here positions are put back, the record is cornered by ever smaller polls, and in
its place comes a record without content, which goes the way of all that cannot be read.
"""

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from chassis.clock import monotonic

log = structlog.get_logger()

CORNER_MILLISECONDS: Final = 400
ARRIVAL_MILLISECONDS_MAX: Final = 1_000
"""How long a poll waits for something to come. It ends at once when it does, so a longer one costs no time and saves
work: an idle reader looks once a second."""
UNREADABLE: Final = "sluice-unreadable"
"""The header of a record that stands for one which could not be read."""

Records = dict[TopicPartition, list[ConsumerRecord]]


class CarefulPoll:
    """Replaces a consumer's `getmany`; one for each consumer."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._poll = consumer.getmany
        self._cornered: dict[TopicPartition, tuple[int, int]] = {}
        """Partitions that may have a record that cannot be read: how many records to ask for, and how far to look."""

    async def __call__(self, *, timeout_ms: int = 0, max_records: int) -> Records:
        """As `getmany`, and a record that cannot be read neither stops it nor takes others with it.

        It waits for ARRIVAL_MILLISECONDS_MAX whatever it is asked for: FastStream rests for as long as it had asked to
        wait when nothing came, and what comes meanwhile is late by that.
        """
        for partition in list(self._cornered):
            if cornered := await self._corner(partition):
                return cornered
        if self._cornered:
            return {}
        try:
            return await self._take(timeout_ms=ARRIVAL_MILLISECONDS_MAX, max_records=max_records)
        except UnicodeDecodeError:
            suspects = list(self._consumer._fetcher._records)
            log.error("record_unreadable", partitions=[f"{at.topic}:{at.partition}" for at in suspects])
            self._cornered = dict.fromkeys(suspects, (max_records, max_records))
            return {}

    async def _corner(self, partition: TopicPartition) -> Records:
        """Halve the poll of one partition until the record stands alone, then step over it."""
        most, left = self._cornered.pop(partition)
        try:
            found = await self._take(partition, timeout_ms=CORNER_MILLISECONDS, max_records=most)
        except UnicodeDecodeError:
            if most > 1:
                self._cornered[partition] = most // 2, left
                return {}
            at = self._positions()[partition]
            log.critical("record_skipped", topic=partition.topic, partition=partition.partition, offset=at)
            self._consumer.seek(partition, at + 1)
            return {partition: [_stand_in(partition, at)]}
        left -= sum(map(len, found.values()))
        if found and left > 0:
            self._cornered[partition] = most, left
        return found

    async def _take(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Records:
        """Take what is there, or comes in time; where that fails, every position is what it was."""
        until = monotonic() + timeout_ms / 1_000
        while True:
            # Nobody else has a turn between these lines: a take-over that seeks meanwhile would be undone.
            before = self._positions()
            try:
                found: Records = await self._poll(*partitions, timeout_ms=0, max_records=max_records)
            except Exception:
                self._put_back(before)
                raise
            left = until - monotonic()
            if found or left <= 0:
                return found
            await self._arrival(left)

    async def _arrival(self, seconds: float) -> None:
        """Wait until something has been fetched, or the time is over."""
        waiter = self._consumer._fetcher._create_fetch_waiter()
        await asyncio.wait([waiter], timeout=seconds)
        if waiter.done():
            waiter.result()
        else:
            waiter.cancel()

    def _positions(self) -> dict[TopicPartition, int]:
        assignment = self._consumer._subscription.subscription.assignment
        states = {} if assignment is None else {at: assignment.state_value(at) for at in assignment.tps}
        return {at: state.position for at, state in states.items() if state.has_valid_position}

    def _put_back(self, before: dict[TopicPartition, int]) -> None:
        for partition, position in self._positions().items():
            if before.get(partition, position) != position:
                self._consumer.seek(partition, before[partition])


def _stand_in(partition: TopicPartition, offset: int) -> ConsumerRecord:
    headers = ((UNREADABLE, b"a header's name is not UTF-8"),)
    return ConsumerRecord(partition.topic, partition.partition, offset, 0, 0, None, None, None, -1, -1, headers)
