"""What does not belong on a topic, and what each service that reads it makes of it: as the contract says.

What is no valid envelope is set aside by everybody. Of valid ones, commands are answered; on other topics they are set
aside by those whom they concern. A type that nobody knows is passed over, but by those to whom it may be a stop.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from sluice_contracts import envelope, topics
from sluice_contracts.base import Message
from sluice_contracts.contacts import ContactCreated, ContactOptedOut
from sluice_contracts.delivery import MessagesCounted, SequenceHalted, StepsFinished, SuspendDelivery
from sluice_contracts.enrollment import (
    ContactEnrolled,
    ContactRemoved,
    EnrollContact,
    EnrollContacts,
    EntryClosed,
    RemoveContact,
)
from sluice_contracts.erasure import SequenceErased
from sluice_contracts.sequences import PauseSequence, SequenceErasureCompleted, SequenceSaved, VersionPublished
from testkit.checker.invariants.poison import READERS

GOLDEN: Final = Path(__file__).parents[2] / "libs/contracts/golden"
SOURCE: Final = "faults"
LARGE_BYTES: Final = 900_000
"""Nearly what a producer may send."""
NO_TEXT: Final = b"\xff\xfe"
HEADERS: Final[tuple[tuple[str, bytes | None], ...]] = (
    ("x-what", NO_TEXT),
    ("x-what", b"again"),
    ("x-nothing", None),
    ("", b""),
    ("traceparent", NO_TEXT),
    *envelope.HEADERS,
)
"""What comes along with every record: bytes that are no text, a name twice, no value, no name."""
BINARY: Final[tuple[tuple[str, bytes | None], ...]] = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"faults"),
    ("ce_type", b"PauseSequence.v1"),
    ("ce_subject", NO_TEXT),
)
_NO_OBJECT: Final = b'{"specversion":"1.0","id":"p","source":"p","type":"PauseSequence.v1","data":%b}'
NO_ENVELOPES: Final[Mapping[str, bytes]] = {
    "no JSON": b"\x00\xff\xfe not json",
    "half a JSON": b'{"specversion": "1.0", "id": "x", "source": "y"',
    "a list": b"[1, 2, 3]",
    "no envelope": b'{"hello": "world"}',
    "data that is no object": _NO_OBJECT % b"[]",
    "900 kB of data that is no object": _NO_OBJECT % (b'"' + b"x" * LARGE_BYTES + b'"'),
    "empty": b"",
    "deep": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
}
"""Values that are no valid envelope on any topic."""
TYPES: Final[Mapping[str, tuple[type[Message], ...]]] = {
    topics.SEQUENCES_COMMANDS: (PauseSequence,),
    topics.SEQUENCES_EVENTS: (SequenceSaved,),
    topics.SEQUENCES_VERSIONS: (VersionPublished,),
    topics.SEQUENCES_CONTROL: (SequenceErasureCompleted,),
    topics.CONTACTS_EVENTS: (ContactCreated,),
    topics.CONTACTS_ACTIVITY: (ContactOptedOut,),
    topics.ENROLLMENT_COMMANDS: (EnrollContact,),
    topics.ENROLLMENT_REMOVALS: (RemoveContact,),
    topics.ENROLLMENT_IMPORTS: (EnrollContacts,),
    topics.ENROLLMENT_EVENTS: (ContactEnrolled,),
    topics.ENROLLMENT_CONTROL: (ContactRemoved, EntryClosed),
    topics.DELIVERY_COMMANDS: (SuspendDelivery,),
    topics.DELIVERY_EVENTS: (StepsFinished,),
    topics.DELIVERY_BOOKS: (MessagesCounted,),
    topics.DELIVERY_CONTROL: (SequenceHalted,),
    topics.ERASURE_RECEIPTS: (SequenceErased,),
}
"""Of each topic, types that every reader of it handles; of enrollment.control there is no such type."""
UNCONCERNED: Final[Mapping[type[Message], tuple[str, ...]]] = {
    ContactRemoved: ("sequences",),
    EntryClosed: ("delivery",),
}
"""Who knows a type of these, and passes it over unread."""
MAY_BE_A_STOP: Final[Mapping[str, tuple[str, ...]]] = {
    topics.SEQUENCES_EVENTS: ("sequences", "enrollment", "delivery"),
    topics.ENROLLMENT_CONTROL: ("delivery",),
}
"""To whom a type that they do not know may be a stop."""
NO_DEFINITION: Final = {"name": "nothing can be made of it", "steps": 7, "start_when": 7}
"""A JSON object, as the contract asks; who has to work by it fails on it for good."""


@dataclass(frozen=True, slots=True)
class Bad:
    """One record, and what becomes of it."""

    what: str
    id: str
    """That of its envelope, where it has a valid one."""
    key: bytes | None
    value: bytes | None = field(repr=False)
    headers: tuple[tuple[str, bytes | None], ...] = HEADERS
    kind: Literal["poison", "refused", "ignored"] = "poison"
    """Set aside, answered `invalid`, or passed over by everybody."""
    untroubled: tuple[str, ...] = ()
    """Of poison: who reads it and does not set it aside."""
    stops: bool = False
    """It may have been a stop of nobody knows whom: nothing is sent until a person decides."""


def of(topic: str, *, name: str) -> Iterator[Bad]:
    """All that is written on a topic; `name` is an id that nothing else has."""
    yield from _no_envelopes(topic, name)
    for model in TYPES[topic]:
        for one in (*_unfit(model, name), *_unknown(model, name)):
            yield replace(one, kind="refused", untroubled=()) if topic in topics.COMMAND_TOPICS else one
    yield from _unbearable(topic, name)


def _no_envelopes(topic: str, name: str) -> Iterator[Bad]:
    key, stops = name.encode(), topic == topics.ENROLLMENT_CONTROL
    for what, value in NO_ENVELOPES.items():
        yield Bad(what, _id(name, topic, what), key, value, stops=stops)
    what = "headers without an id"
    yield Bad(what, _id(name, topic, what), key, b"{}", BINARY, stops=stops)
    if topic not in topics.COMPACTED:  # there it says that the key is gone
        yield Bad("null", _id(name, topic, "null"), key, None, stops=stops)


def _unfit(model: type[Message], name: str) -> Iterator[Bad]:
    """Of a known type, and not what that asks for."""
    data, key = _golden(model), name.encode()
    last = [place for place, info in model.model_fields.items() if info.is_required()][-1]
    without = {place: value for place, value in data.items() if place != last}
    for what, at, wrong in (
        ("a field missing", key, without),
        ("a field missing, and 900 kB more", key, without | {"more": "x" * LARGE_BYTES}),
        ("a field of the wrong type", key, data | {last: [{}]}),
        ("another's key", key, data),
        ("a key that is no text", NO_TEXT, data),
        ("no key", None, data),
    ):
        if at is None and model.TOPIC in topics.COMPACTED:
            continue  # no broker takes that
        one = _enveloped(f"{model.TYPE} with {what}", at, model.TYPE, wrong, topic=model.TOPIC, name=name)
        unread = at is not key and model.TOPIC in MAY_BE_A_STOP
        yield replace(one, untroubled=UNCONCERNED.get(model, ()), stops=unread and model is not EntryClosed)


def _unknown(model: type[Message], name: str) -> Iterator[Bad]:
    """Of a type, and of a version, that nobody knows."""
    nothing: dict[str, Any] = {}
    wary = MAY_BE_A_STOP.get(model.TOPIC, ())
    for kind, data in (("NeverHeardOf.v1", nothing), (model.TYPE.replace(".v1", ".v99"), _golden(model))):
        one = _enveloped(f"{kind} beside {model.TYPE}", name.encode(), kind, data, topic=model.TOPIC, name=name)
        stops = model.TOPIC == topics.ENROLLMENT_CONTROL and "enrollment_ids" not in data
        untroubled = tuple(service for service in READERS[model.TOPIC] if service not in wary)
        yield replace(one, kind="poison" if wary else "ignored", untroubled=untroubled, stops=stops)


def _unbearable(topic: str, name: str) -> Iterator[Bad]:
    """What is as the contract asks, and what those who have to work by it can make nothing of."""
    if topic == topics.SEQUENCES_EVENTS:
        state = {"sequence_id": name, "state_version": 99, "status": "draft", "published": NO_DEFINITION}
        data, key, kind = _golden(SequenceSaved) | state, name, SequenceSaved.TYPE
    elif topic == topics.SEQUENCES_VERSIONS:
        data, key = {"sequence_id": name, "version": 1, "definition": NO_DEFINITION}, f"{name}:1"
        kind = VersionPublished.TYPE
    else:
        return
    one = _enveloped("a definition that is none", key.encode(), kind, data, topic=topic, name=name)
    yield replace(one, untroubled=("sequences", "console"))


def _enveloped(what: str, key: bytes | None, kind: str, data: Mapping[str, Any], *, topic: str, name: str) -> Bad:
    document = envelope.Envelope(id=_id(name, topic, what), source=SOURCE, type=kind)
    return Bad(what, document.id, key, envelope.encode(document, orjson.dumps(data)))


def _id(name: str, topic: str, what: str) -> str:
    return f"{name}:{topic}:{what}"


@cache
def _golden(model: type[Message]) -> dict[str, Any]:
    """Valid data of a type, of ids that are nobody's."""
    document: dict[str, Any] = orjson.loads((GOLDEN / f"{model.TYPE}.json").read_bytes())
    data: dict[str, Any] = document["data"]
    return data
