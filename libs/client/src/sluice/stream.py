"""Subscribe to events."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from sluice.event import Event, event_of
from sluice.transport import Place, Reader, Start, Transport

READ_SECONDS: Final = 0.5
SEEN_MAX: Final = 100_000


class EventStream:
    """The events of some topics as they come: `async for event in stream`.

    Kafka may bring a record twice: one whose source and id were among the last 100,000 is passed over. Without a group
    it reads all partitions from `start`; with one, the group's members share them, each event comes at least once, and
    what a member was given counts as done when it asks for what follows.
    """

    def __init__(self, transport: Transport, names: Sequence[str], *, start: Start, group: str | None) -> None:
        self._transport = transport
        self._topics = list(dict.fromkeys(names))
        self._start = start
        self._group = group
        self._reader: Reader | None = None
        self._ready: deque[Event] = deque()
        self._handed_out = False
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def __aenter__(self) -> Self:
        """From here on nothing is missed."""
        if self._reader is None:
            self._reader = await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        await self.__aenter__()
        reader = self._reader
        while not self._ready and reader is not None:
            if self._handed_out:
                await reader.commit()
                self._handed_out = False
            for record in await reader.read(seconds_max=READ_SECONDS):
                event = event_of(record)
                if event is not None and not self._is_repeated(event):
                    self._ready.append(event)
        self._handed_out = True
        return self._ready.popleft()

    async def stop(self) -> None:
        """Give the connections back; what was handed out last does not count as done."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    async def _open(self) -> Reader:
        if self._group is not None:
            return await self._transport.subscribe(self._topics, group=self._group, start=self._start)
        places = [Place(topic, one) for topic in self._topics for one in range(await self._transport.partitions(topic))]
        begin = await (self._transport.ends if self._start == "latest" else self._transport.begins)(places)
        reader = await self._transport.reader()
        reader.assign(begin)
        return reader

    def _is_repeated(self, event: Event) -> bool:
        if event.gone:
            return False
        identity = (event.source, event.id)
        if identity in self._seen:
            return True
        self._seen[identity] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return False
