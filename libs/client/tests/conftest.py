"""Transports for the tests: one in memory, one on a real Kafka; both must pass what is asked of either."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sluice import Event
from sluice._clock import new_id
from sluice.event import event_of
from sluice.kafka import KafkaTransport
from sluice.memory import MemoryTransport
from sluice.transport import Place, Record, Transport
from sluice_contracts import topics
from sluice_contracts.answers import CommandAccepted, CommandRef, CommandRejected, Fault
from sluice_contracts.base import Message
from sluice_contracts.envelope import Envelope, encode
from testkit.topics import provision

ROOT = Path(__file__).parents[3]
Written = tuple[str, str, bytes | None]


class Refusal(Exception):
    """What a played service answers with instead of a result."""

    def __init__(self, code: str, detail: str, *faults: Fault) -> None:
        super().__init__(detail)
        self.code, self.detail, self.faults = code, detail, list(faults)


class PlayedServices:
    """Answers commands as services do: the same source and id again get the same answer again, and change nothing."""

    def __init__(self) -> None:
        self.commands: list[Event] = []
        self.results: dict[str, Callable[[Event], dict[str, Any]]] = {}
        self.precedes: dict[str, Callable[[Event], Iterable[Written]]] = {}
        self.follows: dict[str, Callable[[Event], Iterable[Written]]] = {}
        self.silent: set[str] = set()
        self.clock: datetime | None = None
        """What the services' clock shows when they answer."""
        self._answered: dict[tuple[str, str], Written] = {}

    def react(self, record: Record) -> list[Written]:
        event = event_of(record)
        if event is None or record.topic not in topics.COMMAND_TOPICS or event.name in self.silent:
            return []
        known = self._answered.get((event.source, event.id))
        if known is not None:
            return [known]
        self.commands.append(event)
        answer = self._answer(event)
        self._answered[event.source, event.id] = answer
        before, after = self.precedes.get(event.name), self.follows.get(event.name)
        return [*(before(event) if before else ()), answer, *(after(event) if after else ())]

    def _answer(self, event: Event) -> Written:
        command = CommandRef(source=event.source, id=event.id, type=event.type)
        message: Message
        try:
            message = CommandAccepted(command=command, result=self.results[event.name](event))
        except Refusal as refusal:
            message = CommandRejected(
                command=command, code=refusal.code, detail=refusal.detail, faults=refusal.faults or None
            )
        return topics.ANSWERS_OF[event.topic], event.id, written(message, correlation_id=event.id, time=self.clock)


def written(
    message: Message,
    *,
    event_id: str | None = None,
    correlation_id: str | None = None,
    time: datetime | None = None,
) -> bytes:
    """The record of a message."""
    identity = event_id or new_id()
    envelope = Envelope(id=identity, source="played", type=message.TYPE, correlation_id=correlation_id, time=time)
    return encode(envelope, message.to_json())


@asynccontextmanager
async def played_on_kafka(servers: list[str], services: PlayedServices) -> AsyncIterator[KafkaTransport]:
    """The services, played by a task that reads the commands and writes what follows from them."""
    await provision(servers, ROOT)
    transport, theirs = KafkaTransport(servers), KafkaTransport(servers)
    await transport.start()
    await theirs.start()
    reader = await theirs.reader()
    commands = [Place(topic, one) for topic in sorted(topics.COMMAND_TOPICS) for one in await _numbers(theirs, topic)]
    reader.assign(await theirs.ends(commands))

    async def play() -> None:
        while True:
            for record in await reader.read(seconds_max=0.5):
                for topic, key, value in services.react(record):
                    await (await theirs.send(topic, key=key, value=value))

    playing = asyncio.create_task(play())
    try:
        yield transport
    finally:
        playing.cancel()
        await asyncio.wait([playing])
        await reader.stop()
        await theirs.stop()
        await transport.stop()


async def _numbers(transport: Transport, topic: str) -> range:
    return range(await transport.partitions(topic))


@pytest.fixture
def services() -> PlayedServices:
    return PlayedServices()


@pytest.fixture
def write() -> Callable[..., bytes]:
    """Makes the record of a message."""
    return written


@pytest.fixture
def refusal() -> type[Refusal]:
    """Raised by a played service to refuse."""
    return Refusal


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.stack)])
async def transport(request: pytest.FixtureRequest, services: PlayedServices) -> AsyncIterator[Transport]:
    """A started transport on which `services` answers."""
    if request.param == "memory":
        yield MemoryTransport(react=lambda record: services.react(record))
        return
    async with played_on_kafka(request.getfixturevalue("running").kafka, services) as found:
        yield found
