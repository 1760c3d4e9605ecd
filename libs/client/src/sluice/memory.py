"""The transport without a Kafka: for tests of programs that use this client. It passes the tests of the real one."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Final

from sluice_contracts import topics
from sluice_contracts.envelope import HEADERS

from sluice.errors import TopicMissing
from sluice.transport import Place, Reader, Record, Start, partition_of

PARTITIONS: Final = 4
BATCH_RECORDS_MAX: Final = 500

Written = tuple[str, str, bytes | None]
"""A topic, a key and a value."""
Reaction = Callable[[Record], Iterable[Written]]
"""What is written in answer to a record, at once."""


class MemoryTransport:
    """Topics in memory, for one event loop. `react` plays the services."""

    def __init__(
        self,
        names: Iterable[str] = topics.ALL_TOPICS,
        *,
        react: Reaction | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        self.react = react
        self._names = frozenset(names)
        self._count = partitions
        self._logs: defaultdict[Place, list[Record]] = defaultdict(list)
        self._committed: dict[tuple[str, Place], int] = {}
        self._arrived = asyncio.Event()

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def partitions(self, topic: str) -> int:
        if topic not in self._names:
            raise TopicMissing(topic)
        return self._count

    async def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        return {place: len(self._logs[place]) for place in places}

    async def begins(self, places: Sequence[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    async def send(self, topic: str, *, key: str, value: bytes | None) -> "asyncio.Future[object]":
        await self.partitions(topic)
        self.write(topic, key, value)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def write(self, topic: str, key: str, value: bytes | None) -> None:
        """Append a record, then what the services answer to it."""
        log = self._logs[Place(topic, partition_of(key, self._count))]
        record = Record(topic, partition_of(key, self._count), len(log), key.encode(), value, tuple(HEADERS))
        log.append(record)
        self._arrived.set()
        for answer in self.react(record) if self.react else ():
            self.write(*answer)

    def records(self, topic: str) -> list[Record]:
        """All that a topic holds."""
        return [record for number in range(self._count) for record in self._logs[Place(topic, number)]]

    async def reader(self) -> Reader:
        return _MemoryReader(self)

    async def subscribe(self, topics: Sequence[str], *, group: str, start: Start) -> Reader:
        places = [Place(topic, number) for topic in topics for number in range(await self.partitions(topic))]
        begin = await (self.begins if start == "earliest" else self.ends)(places)
        reader = _MemoryReader(self, group=group)
        reader.assign({place: self._committed.get((group, place), begin[place]) for place in places})
        return reader

    async def read_to_end(self, topic: str, *, partition: int | None = None) -> AsyncGenerator[list[Record], None]:
        numbers = range(await self.partitions(topic)) if partition is None else [partition]
        for number in numbers:
            log = list(self._logs[Place(topic, number)])
            for first in range(0, len(log), BATCH_RECORDS_MAX):
                yield log[first : first + BATCH_RECORDS_MAX]

    def after(self, offsets: Mapping[Place, int]) -> list[Record]:
        return [record for place, offset in offsets.items() for record in self._logs[place][offset:]]

    async def arrival(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        self._committed.update({(group, place): offset for place, offset in offsets.items()})


class _MemoryReader:
    def __init__(self, transport: MemoryTransport, *, group: str | None = None) -> None:
        self._transport = transport
        self._group = group
        self._next: dict[Place, int] = {}

    def assign(self, offsets: Mapping[Place, int]) -> None:
        self._next = dict(offsets)

    async def read(self, *, seconds_max: float) -> list[Record]:
        found = self._transport.after(self._next)
        if not found:
            try:
                async with asyncio.timeout(seconds_max):
                    await self._transport.arrival()
            except TimeoutError:
                return []
            found = self._transport.after(self._next)
        for record in found:
            self._next[record.place] = record.offset + 1
        return found

    async def commit(self) -> None:
        if self._group is not None:
            self._transport.commit(self._group, self._next)

    async def stop(self) -> None:
        return
