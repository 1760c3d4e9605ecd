"""Kafka's part: partitions that only grow, and relays that fill them in order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

import orjson
from messaging.outbox import Queued, lane_of, unpack_headers

PARTITIONS: Final = 2
"""Enough for the records of two keys to overtake each other."""


@dataclass(slots=True, eq=False)
class Record:
    """One record at its place."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def name(self) -> str:
        """Its key, as text."""
        return (self.key or b"").decode(errors="replace")

    @property
    def envelope(self) -> dict[str, Any]:
        """Empty for a tombstone."""
        document: dict[str, Any] = {} if self.value is None else orjson.loads(self.value)
        return document

    @property
    def type(self) -> str:
        """Without its version; empty for a tombstone."""
        kind: str = self.envelope.get("type", "")
        return kind.removesuffix(".v1")

    @property
    def data(self) -> dict[str, Any]:
        """What it carries."""
        found: dict[str, Any] = self.envelope.get("data", {})
        return found

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset} {self.type or 'tombstone'} {self.name}"


Place = tuple[str, int]
"""A topic and a partition."""


@dataclass
class Topics:
    """All partitions of all topics."""

    logs: dict[Place, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> Record:
        """Write one record to the partition of its key."""
        partition = crc32(key or b"") % PARTITIONS
        log = self.logs[topic, partition]
        record = Record(topic, partition, len(log), key, value, headers)
        log.append(record)
        return record

    def end(self, place: Place) -> int:
        """Where a partition ends."""
        return len(self.logs[place]) if place in self.logs else 0


@dataclass
class Relay:
    """One lane of one service's outbox, and what of it may be published twice."""

    lane: int
    waiting: list[Queued] = field(default_factory=list)
    published: list[Queued] = field(default_factory=list)

    def publish(self, topics: Topics, count: int) -> None:
        """Publish the oldest rows."""
        rows, self.waiting = self.waiting[:count], self.waiting[count:]
        self._write(topics, rows)
        self.published += rows

    def repeat(self, topics: Topics, number: int) -> None:
        """Publish once more what was published long ago: a relay that was frozen before it forgot it."""
        self._write(topics, [self.published[number % len(self.published)]])

    def _write(self, topics: Topics, rows: Sequence[Queued]) -> None:
        for row in rows:
            assert lane_of(row.topic) == self.lane
            topics.append(row.topic, row.key, row.value, unpack_headers(row.headers, value=row.value))
