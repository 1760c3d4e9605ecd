"""One record of an events topic, as a subscriber sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sluice_contracts import envelope
from sluice_contracts.base import Message
from sluice_contracts.registry import BY_TYPE

from sluice.transport import Record


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. A tombstone (`gone`) has a key and nothing else: whatever it names does not exist any more."""

    topic: str
    partition: int
    offset: int
    key: str
    type: str = ""
    id: str = ""
    source: str = ""
    actor: str | None = None
    correlation_id: str | None = None
    time: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        return not self.type

    @property
    def name(self) -> str:
        """The type without its version."""
        return self.type.partition(".")[0] if self.type else "Gone"

    @property
    def sequence_id(self) -> str | None:
        """The sequence that it is about, where it is about one."""
        found = self.data.get("sequence_id") or (self.key if self.topic.startswith("sequences.") else None)
        return found if isinstance(found, str) else None

    def message(self) -> Message | None:
        """The data as the contract's model; None for a tombstone, and for a type that this version does not know."""
        model = BY_TYPE.get(self.type)
        try:
            return None if model is None else model.model_validate(self.data)
        except ValidationError:
            return None


def event_of(record: Record) -> Event | None:
    """The event in a record; None where it is no CloudEvent."""
    key = (record.key or b"").decode("utf-8", errors="replace")
    if record.value is None:
        return Event(record.topic, record.partition, record.offset, key)
    try:
        found = envelope.decode(record.value, record.headers)
    except envelope.InvalidEnvelope:
        return None
    return Event(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=key,
        type=found.type,
        id=found.id,
        source=found.source,
        actor=found.actor,
        correlation_id=found.correlation_id,
        time=found.time,
        data=found.data,
    )
