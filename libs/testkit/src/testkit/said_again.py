"""What a service has said, as its topics would give it back: for tests of what it adopts, without Kafka."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from messaging.adopting import adopt_all
from messaging.pipeline import Pipeline
from messaging.positions import Place
from messaging.routes import Routes


@dataclass(frozen=True, slots=True)
class SaidRecord:
    """A record of an own topic, all in one partition."""

    topic: str
    offset: int
    key: bytes
    value: bytes | None
    partition: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True)
class SaidAgain:
    """A reading of records that are given."""

    records: Sequence[SaidRecord]

    async def ends(self) -> dict[Place, int]:
        """Behind the last record of each topic."""
        return {(one.topic, 0): one.offset + 1 for one in self.records}

    async def between(
        self, begin: Mapping[Place, int], end: Mapping[Place, int], *, of: Collection[str]
    ) -> AsyncIterator[list[Any]]:
        """The records of these topics, one batch each."""
        for topic in of:
            found = [one for one in self.records if one.topic == topic]
            if found:
                yield list(found)


async def adopt(pipeline: Pipeline, routes: Routes, said: Sequence[tuple[str, str, bytes | None]]) -> None:
    """Have a service adopt records (topic, key, value) that it has said."""
    records = [SaidRecord(topic, place, key.encode(), value) for place, (topic, key, value) in enumerate(said)]
    await adopt_all(pipeline, routes, SaidAgain(records))  # type: ignore[arg-type]
