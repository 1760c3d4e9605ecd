"""One reader that many waits share: each is told of the records of the keys that it waits for."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sluice.errors import Unreachable
from sluice.transport import Place, Reader, Record, Transport, partition_of

READ_SECONDS: Final = 0.5

Wanted = tuple[str, str]
"""A topic and a key."""


class Listener:
    """Reads only the partitions on which somebody waits, each from the end that it had when the first one came."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._waiting: defaultdict[tuple[str, bytes], list[asyncio.Queue[Record | Unreachable]]] = defaultdict(list)
        self._next: dict[Place, int] = {}
        self._reader: Reader | None = None
        self._loop: asyncio.Task[None] | None = None
        self._adding = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, wanted: Sequence[Wanted]) -> AsyncIterator["Watch"]:
        """Inside, every record of those keys that is written from now on arrives."""
        queue: asyncio.Queue[Record | Unreachable] = asyncio.Queue()
        keys = [(topic, key.encode()) for topic, key in wanted]
        for key in keys:
            self._waiting[key].append(queue)
        try:
            await self._read_also(
                [Place(topic, partition_of(key, await self._transport.partitions(topic))) for topic, key in wanted]
            )
            yield Watch(queue)
        finally:
            for key in keys:
                self._waiting[key].remove(queue)
                if not self._waiting[key]:
                    del self._waiting[key]

    async def stop(self) -> None:
        """Stop reading; whoever still waits is not told. Who waits afterwards begins at the ends of then."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
            self._loop = None
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None
        self._next.clear()

    async def _read_also(self, places: Sequence[Place]) -> None:
        async with self._adding:
            if self._loop is not None and self._loop.done():
                await self.stop()  # the loop failed and told everyone: begin again from the present ends
            added = [place for place in dict.fromkeys(places) if place not in self._next]
            if not added:
                return
            ends = await self._transport.ends(added)
            if self._reader is None:
                self._reader = await self._transport.reader()
            self._next.update(ends)
            self._reader.assign(self._next)
            if self._loop is None:
                self._loop = asyncio.create_task(self._read(self._reader), name="sluice-listener")

    async def _read(self, reader: Reader) -> None:
        while True:
            try:
                batch = await reader.read(seconds_max=READ_SECONDS)
            except Unreachable as error:
                self._tell_everyone(error)
                return
            for record in batch:
                if record.offset < self._next.get(record.place, 0):
                    continue
                self._next[record.place] = record.offset + 1
                for queue in self._waiting.get((record.topic, record.key or b""), ()):
                    queue.put_nowait(record)

    def _tell_everyone(self, error: Unreachable) -> None:
        for queues in self._waiting.values():
            for queue in queues:
                queue.put_nowait(error)


class Watch:
    """What arrives for one wait."""

    def __init__(self, queue: "asyncio.Queue[Record | Unreachable]") -> None:
        self._queue = queue

    async def next(self) -> Record:
        """The next record; Unreachable where Kafka refuses to be read."""
        found = await self._queue.get()
        if isinstance(found, Unreachable):
            raise found
        return found
