"""From a record's bytes to what the pipeline does with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError
from sluice_contracts import topics
from sluice_contracts.answers import Fault
from sluice_contracts.base import Message as Contract
from sluice_contracts.definition import faults_of
from sluice_contracts.envelope import Envelope, InvalidEnvelope, actor_of, decode

from messaging.model import Cause, Message, Refused, Tombstone

KEY_LENGTH_MAX = 256


class Record(Protocol):
    """What is used of a Kafka record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class Inbound:
    """One record and what it is: one of `message`, `tombstone`, `refused`, `broken` is set, or none (ignored)."""

    record: Record
    key: str | None = None
    cause: Cause | None = None
    data: dict[str, Any] | None = None
    message: Message[Any] | None = None
    tombstone: Tombstone | None = None
    refused: Refused | None = None
    broken: str | None = None
    guilty: bool = False
    """A handler failed on it: a command that did is answered."""
    tries: int = 0
    identity: str = ""
    """The record's (source, id), as one id; only where there is a cause, on topics with an inbox."""


def read(record: Record, models: dict[str, type[Contract]], *, known: frozenset[str], fenced: bool = False) -> Inbound:
    """Decode one record of a topic whose handled types are `models`; `known` types are passed over. Never raises.

    Other types are passed over too, except where commands are answered (all are, these too), and where it may be a
    stop of which nobody would be told (`fenced`).
    """
    inbound = Inbound(record, key=_key(record.key))
    if record.value is None and record.topic in topics.COMPACTED:
        if inbound.key is None:
            inbound.broken = "key: must be a text in UTF-8"
        else:
            inbound.tombstone = Tombstone(inbound.key, record.topic, record.partition, record.offset)
        return inbound
    try:
        envelope = decode(record.value, record.headers)
    except InvalidEnvelope as error:
        inbound.broken = error.reason
        return inbound
    inbound.cause = _cause(envelope)
    inbound.data = envelope.data if fenced else None
    unheard = fenced and record.topic not in topics.COMMAND_TOPICS
    if unheard and envelope.type not in models and envelope.type not in known:
        inbound.broken = "type: unknown"
        return inbound
    _interpret(inbound, envelope, models, known=known)
    return inbound


def _interpret(
    inbound: Inbound, envelope: Envelope, models: dict[str, type[Contract]], *, known: frozenset[str]
) -> None:
    record = inbound.record
    asked = record.topic in topics.COMMAND_TOPICS
    model = models.get(envelope.type)
    if model is None:
        if asked and envelope.type not in known:
            inbound.refused = Refused(
                "invalid", f"{record.topic} takes no such type", [Fault(place="type", rule="unknown")]
            )
        return
    try:
        data = model.from_dict(envelope.data)
    except ValidationError as error:
        faults = faults_of(error)
        _refuse(inbound, asked, "the data is not what the type asks for", faults)
        return
    if inbound.key is None or not data.key_matches(inbound.key):
        _refuse(
            inbound,
            asked,
            "the record's key does not fit its data",
            [Fault(place="key", rule="must be the id in the data")],
        )
        return
    assert inbound.cause is not None
    inbound.message = Message(
        data, inbound.cause, inbound.key, record.topic, record.partition, record.offset, envelope.time
    )


def _refuse(inbound: Inbound, asked: bool, detail: str, faults: Sequence[Fault]) -> None:
    """A command is answered; anything else has nobody to answer and goes to quarantine."""
    if asked:
        inbound.refused = Refused("invalid", detail, faults)
    else:
        inbound.broken = "; ".join(f"{fault.place}: {fault.rule}" for fault in faults)[:1000] or detail


def _cause(envelope: Envelope) -> Cause:
    return Cause(
        source=envelope.source,
        id=envelope.id,
        type=envelope.type,
        correlation_id=envelope.correlation_id or envelope.id,
        actor=actor_of(envelope),
        traceparent=envelope.traceparent,
    )


def _key(key: bytes | None) -> str | None:
    if not key or len(key) > KEY_LENGTH_MAX:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
