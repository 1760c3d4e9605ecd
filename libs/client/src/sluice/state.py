"""Read what a compacted topic says, from its beginning to its end."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Final

from pydantic import ValidationError
from sluice_contracts import topics
from sluice_contracts.erasure import SequenceErased
from sluice_contracts.sequences import SequenceState

from sluice.event import Event, event_of
from sluice.transport import Record, Transport, partition_of

ERASING_SERVICES: Final = ("sequences", "enrollment", "delivery", "console")


class Newest:
    """The newest state of every key: of two values the higher `state_version`; a tombstone takes the key away."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}

    def take(self, event: Event) -> None:
        if event.gone:
            self._events.pop(event.key, None)
            return
        known = self._events.get(event.key)
        if known is None or version_of(event) >= version_of(known):
            self._events[event.key] = event

    def events(self) -> Iterable[Event]:
        return self._events.values()


def version_of(event: Event) -> int:
    """The `state_version` of a record of a compacted topic; 0 where there is none."""
    found = event.data.get("state_version")
    return found if isinstance(found, int) else 0


async def read(
    transport: Transport, topic: str, *, key: str | None = None, keep: Callable[[Record], bool] = lambda _: True
) -> Newest:
    """The present state of a compacted topic, or of one key of it (then one partition is read)."""
    partition = None if key is None else partition_of(key, await transport.partitions(topic))
    newest = Newest()
    async for event in events_to_end(transport, topic, partition=partition, keep=keep):
        if key is None or event.key == key:
            newest.take(event)
    return newest


async def events_to_end(
    transport: Transport, topic: str, *, partition: int | None = None, keep: Callable[[Record], bool] = lambda _: True
) -> AsyncGenerator[Event, None]:
    """Every event that is in the topic now; what is no CloudEvent is passed over."""
    async with aclosing(transport.read_to_end(topic, partition=partition)) as batches:
        async for batch in batches:
            for record in batch:
                event = event_of(record) if keep(record) else None
                if event is not None:
                    yield event


async def sequences(transport: Transport, *, sequence_id: str | None = None) -> dict[str, SequenceState]:
    """The sequences that there are, by id; one that is being deleted is still there until its tombstone."""
    newest = await read(transport, topics.SEQUENCES_EVENTS, key=sequence_id)
    found: dict[str, SequenceState] = {}
    for event in sorted(newest.events(), key=lambda event: event.key):
        model = sequence_state(event)
        if model is not None:
            found[event.key] = model
    return found


def sequence_state(event: Event) -> SequenceState | None:
    """The state in an event of sequences.events; also of a type that this version does not know."""
    message = event.message()
    if isinstance(message, SequenceState):
        return message
    try:
        return SequenceState.model_validate(event.data)
    except ValidationError:
        return None


async def erased_by(transport: Transport, sequence_id: str) -> dict[str, SequenceErased]:
    """The receipts of a deletion so far, by service."""
    partition = partition_of(sequence_id, await transport.partitions(topics.ERASURE_RECEIPTS))
    found: dict[str, SequenceErased] = {}
    async for event in events_to_end(transport, topics.ERASURE_RECEIPTS, partition=partition):
        message = event.message()
        if isinstance(message, SequenceErased) and message.sequence_id == sequence_id:
            found[message.service] = message
    return found
