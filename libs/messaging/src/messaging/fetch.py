"""What the Kafka client does with a record that it cannot read, made harmless.

aiokafka decodes the names of headers as UTF-8, strictly (a header's value is bytes to it). Where one is not, its poll
raises, again and again, for it stays where it is; and what it had taken from other partitions in the same poll is lost,
for their positions have moved on. So here positions are put back, the record is cornered by ever smaller polls, and in
its place comes a record without content, which goes the way of all that cannot be read.
"""

from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

log = structlog.get_logger()

CORNER_MILLISECONDS: Final = 400
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
        """As `getmany`, and a record that cannot be read neither stops it nor takes others with it."""
        for partition in list(self._cornered):
            if cornered := await self._corner(partition):
                return cornered
        if self._cornered:
            return {}
        before = self._positions()
        try:
            found: Records = await self._poll(timeout_ms=timeout_ms, max_records=max_records)
        except (UnicodeDecodeError, KafkaError) as error:
            suspects = list(self._consumer._fetcher._records)
            self._put_back(before)
            if isinstance(error, KafkaError):
                raise
            log.error("record_unreadable", partitions=[f"{at.topic}:{at.partition}" for at in suspects])
            self._cornered = dict.fromkeys(suspects, (max_records, max_records))
            return {}
        return found

    async def _corner(self, partition: TopicPartition) -> Records:
        """Halve the poll of one partition until the record stands alone, then step over it."""
        most, left = self._cornered.pop(partition)
        at = self._positions().get(partition)
        if at is None:
            return {}
        try:
            found: Records = await self._poll(partition, timeout_ms=CORNER_MILLISECONDS, max_records=most)
        except UnicodeDecodeError:
            self._put_back({partition: at})
            if most > 1:
                self._cornered[partition] = most // 2, left
                return {}
            log.critical("record_skipped", topic=partition.topic, partition=partition.partition, offset=at)
            self._consumer.seek(partition, at + 1)
            return {partition: [_stand_in(partition, at)]}
        left -= sum(map(len, found.values()))
        if found and left > 0:
            self._cornered[partition] = most, left
        return found

    def _positions(self) -> dict[TopicPartition, int]:
        assignment = self._consumer._subscription.subscription.assignment
        states = {} if assignment is None else {at: assignment.state_value(at) for at in assignment.tps}
        return {at: state.position for at, state in states.items() if state.has_valid_position and not state.paused}

    def _put_back(self, before: dict[TopicPartition, int]) -> None:
        now = self._positions()
        for partition, position in before.items():
            if partition in now:
                # Also where it has not moved: what is buffered of it has to be fetched anew.
                self._consumer.seek(partition, position)


def _stand_in(partition: TopicPartition, offset: int) -> ConsumerRecord:
    headers = ((UNREADABLE, b"a header's name is not UTF-8"),)
    return ConsumerRecord(partition.topic, partition.partition, offset, 0, 0, None, None, None, -1, -1, headers)
