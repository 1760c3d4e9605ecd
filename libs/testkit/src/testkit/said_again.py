"""What a service has said, as its topics would give it back: for tests of what it adopts, without Kafka."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from messaging.adopting import adopt_all
from messaging.pipeline import Pipeline
from messaging.positions import Place
from messaging.routes import Routes

from testkit import put_back
from testkit.database import sluice_url
from testkit.feeder import Said
from testkit.stack import Servers


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


@dataclass
class Lost:
    """What a service has said since its database was copied: when that is put back, it is all that is left of it."""

    feeder: Any
    """A `Feeder`, whose `said` is listened to."""
    admin_url: str
    said: list[Said] = field(default_factory=list)
    over: bool = False

    async def put_back(self) -> None:
        """Lose what was done, and adopt what was said of it."""
        await self.feeder.said()
        self.forget()
        await put_back.restore(self.admin_url, self.feeder.pipeline.service)
        await self.feeder.pool.expire_connections()
        self.feeder.positions.clear()
        self.feeder.restart()
        await self.adopt()

    async def adopt(self) -> None:
        """Adopt it, for the first time or once more."""
        told = [(one.topic, one.key, one.value) for one in self.said]
        await adopt(self.feeder.pipeline, self.feeder.routes(), told)

    def listen(self) -> None:
        """Note what is said from now on."""
        take = self.feeder.said

        async def noting() -> list[Said]:
            found: list[Said] = await take()
            self.said += found
            return found

        self.feeder.said = noting

    def forget(self) -> None:
        """Listen no more."""
        vars(self.feeder).pop("said", None)
        self.over = True


@asynccontextmanager
async def lost(feeder: Any, running: Servers) -> AsyncIterator[Lost]:
    """What is done in the block is lost, and what is said in it adopted: when the block asks for it, or at its end."""
    await feeder.said()
    loss = Lost(feeder, sluice_url(running.admin_url))
    await put_back.take(loss.admin_url, feeder.pipeline.service)
    loss.listen()
    try:
        yield loss
        if not loss.over:
            await loss.put_back()
    finally:
        loss.forget()
