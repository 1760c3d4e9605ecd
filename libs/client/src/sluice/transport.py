"""What the client needs of Kafka, and nothing more."""

from asyncio import Future
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from aiokafka.partitioner import murmur2

Start = Literal["latest", "earliest"]


class Place(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def place(self) -> Place:
        return Place(self.topic, self.partition)


class Reader(Protocol):
    """Reads some partitions in order of their offsets."""

    def assign(self, offsets: Mapping[Place, int]) -> None:
        """Read these partitions from these offsets on, and no others."""

    async def read(self, *, seconds_max: float) -> list[Record]:
        """What has come; empty when nothing came within `seconds_max`."""

    async def commit(self) -> None:
        """Where this reader is of a group: all that was read is done."""

    async def stop(self) -> None:
        """Give the connections back."""


class Transport(Protocol):
    """A Kafka cluster. Every method raises Unreachable within seconds where it does not answer."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions(self, topic: str) -> int:
        """How many there are; TopicMissing where there is no such topic."""

    async def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        """The offset of the next record to be written, per partition."""

    async def begins(self, places: Sequence[Place]) -> dict[Place, int]:
        """The offset of the oldest record that is still there, per partition."""

    async def send(self, topic: str, *, key: str, value: bytes | None) -> "Future[object]":
        """Hand over one record (None: a tombstone); the future is done when Kafka has it on disk or refused it."""

    async def reader(self) -> Reader:
        """A reader of no group that reads nothing yet."""

    async def subscribe(self, topics: Sequence[str], *, group: str, start: Start) -> Reader:
        """A member of a group, which shares the partitions and goes on where the group was."""

    def read_to_end(self, topic: str, *, partition: int | None = None) -> AsyncGenerator[list[Record], None]:
        """All that is in the topic (or one partition of it) now, in batches, each partition in order."""


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: murmur2, as Kafka's Java client and aiokafka choose it."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
