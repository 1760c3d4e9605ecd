"""Reads back what this service has said on its own topics."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from sluice_contracts import topics
from sluice_contracts.envelope import InvalidEnvelope, decode

from messaging.fetch import CarefulPoll
from messaging.positions import Place

RECORDS_MAX: Final = 500
SHARED: Final = frozenset({topics.CONTACTS_ACTIVITY, topics.ERASURE_RECEIPTS})
"""Topics on which others write as well."""
SILENCE_SECONDS_MAX: Final = 30.0
START_SECONDS_MAX: Final = 30.0


class NotRead(Exception):
    """Topics that are not there, or that give nothing for SILENCE_SECONDS_MAX although they hold more."""


class Reading:
    """All partitions of some topics, read from places to places; of no group, so it disturbs nobody."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._poll = CarefulPoll(consumer)
        self._partitions = sorted(consumer.assignment())
        consumer.pause(*self._partitions)

    async def ends(self) -> dict[Place, int]:
        """Where the topics end now."""
        found = await self._consumer.end_offsets(self._partitions)
        return {(at.topic, at.partition): offset for at, offset in found.items()}

    async def between(
        self, begin: Mapping[Place, int], end: Mapping[Place, int], *, of: Collection[str]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The records of these topics from `begin` (where it is not named: all that is there) to before `end`."""
        wanted = [at for at in self._partitions if at.topic in of]
        firsts = await self._consumer.beginning_offsets(wanted) if wanted else {}
        left: dict[TopicPartition, int] = {}
        for at in wanted:
            place = (at.topic, at.partition)
            start = max(begin.get(place, 0), firsts[at])
            if start < end[place]:
                self._consumer.seek(at, start)
                left[at] = end[place]
        self._consumer.resume(*left)
        try:
            while left:
                async with asyncio.timeout(SILENCE_SECONDS_MAX):
                    records = await self._some(left)
                if records:
                    yield records
        except TimeoutError:
            raise NotRead(", ".join(sorted({at.topic for at in left}))) from None
        finally:
            self._consumer.pause(*self._partitions)

    async def _some(self, left: dict[TopicPartition, int]) -> list[ConsumerRecord]:
        """The next records, at least one unless the end is reached; partitions that are read are taken off `left`."""
        while left:
            polled = await self._poll(max_records=RECORDS_MAX)
            found = [one for at, records in polled.items() for one in records if at in left and one.offset < left[at]]
            for at in list(left):
                # A position goes over offsets that carry no record, as compaction leaves them.
                if await self._consumer.position(at) >= left[at]:
                    del left[at]
                    self._consumer.pause(at)
            if found:
                return found
        return []


@asynccontextmanager
async def reading(kafka: Sequence[str], names: Iterable[str]) -> AsyncIterator[Reading]:
    """Read topics back; raises NotRead where one is not there."""
    wanted = set(names)
    consumer = AIOKafkaConsumer(
        *wanted, bootstrap_servers=list(kafka), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            await consumer.start()
        missing = wanted - {at.topic for at in consumer.assignment()}
        if missing:
            raise NotRead(", ".join(sorted(missing)))
        yield Reading(consumer)
    finally:
        await consumer.stop()


def is_own(record: ConsumerRecord, source: str) -> bool:
    """Whether this service has said it; the end of a key too, on a topic that nobody else writes."""
    if record.value is None:
        return record.topic in topics.COMPACTED
    try:
        return decode(record.value, record.headers).source == source
    except InvalidEnvelope:
        return False
