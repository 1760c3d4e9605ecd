"""CloudEvents 1.0 on Kafka: what is around the data of every record."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

import orjson

from sluice_contracts.base import format_timestamp, parse_timestamp

CONTENT_TYPE: Final = "application/cloudevents+json"
HEADERS: Final[list[tuple[str, bytes]]] = [("content-type", CONTENT_TYPE.encode())]
ATTRIBUTE_LENGTH_MAX: Final = 256

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class InvalidEnvelope(Exception):
    """A record that is no CloudEvent; `reason` names the place and the rule, never a value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)  # one for each record: to freeze it costs as much again as making it
class Envelope:
    """One CloudEvent. `source` and `id` together are its identity."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def actor_of(envelope: Envelope) -> str:
    """Who asked: the envelope's actor, else its source."""
    return envelope.actor or envelope.source


def decode(value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Envelope:
    """Read one record, in structured mode (with or without its content-type) or in binary mode (`ce_*` headers).

    Raises InvalidEnvelope and nothing else, whatever the bytes are. Optional attributes that break their rule are left
    out; `time` is kept only with an offset.
    """
    if value is None:
        raise InvalidEnvelope("value: must not be null")
    if len(headers) == 1 and headers[0] == HEADERS[0]:  # as most are
        document = _parse(value, "value")
        return _envelope(document, document.get("data"), document.get("traceparent"))
    named = {name.lower(): _text(content) for name, content in headers}
    if _is_structured(named):
        document = _parse(value, "value")
        return _envelope(document, document.get("data"), named.get("traceparent") or document.get("traceparent"))
    attributes = {name[3:]: content for name, content in named.items() if name.startswith("ce_")}
    return _envelope(attributes, _parse(value, "data"), named.get("traceparent") or attributes.get("traceparent"))


def encode(envelope: Envelope, data_json: bytes) -> bytes:
    """Write the structured JSON of an envelope around data that is JSON already; `envelope.data` is not looked at."""
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": envelope.id,
        "type": envelope.type,
        "source": envelope.source,
    }
    if envelope.subject is not None:
        document["subject"] = envelope.subject
    time = envelope.time
    if time is not None:  # orjson writes most times as we do, and faster
        document["time"] = time if time.tzinfo is UTC and time.microsecond else format_timestamp(time)
    document["datacontenttype"] = "application/json"
    if envelope.correlation_id is not None:
        document["correlationid"] = envelope.correlation_id
    if envelope.causation_id is not None:
        document["causationid"] = envelope.causation_id
    if envelope.actor is not None:
        document["actor"] = envelope.actor
    document["data"] = orjson.Fragment(data_json)
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


def _text(content: bytes | None) -> str:
    return "" if content is None else content.decode("utf-8", errors="replace")


def _is_structured(headers: dict[str, str]) -> bool:
    """By the content type, as the Kafka binding says; where that does not tell, by the absence of `ce_specversion`."""
    return headers.get("content-type", "").lower().startswith("application/cloudevents") or (
        "ce_specversion" not in headers
    )


def _parse(value: bytes, place: str) -> dict[str, Any]:
    try:
        document = orjson.loads(value)
    except ValueError:
        raise InvalidEnvelope(f"{place}: must be JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise InvalidEnvelope(f"{place}: must be a JSON object")
    return document


def _envelope(attributes: dict[str, Any], data: Any, traceparent: Any) -> Envelope:
    if attributes.get("specversion") != "1.0":
        raise InvalidEnvelope("specversion: must be 1.0")
    if not isinstance(data, dict):
        raise InvalidEnvelope("data: must be a JSON object")
    return Envelope(
        id=_required(attributes, "id"),
        source=_required(attributes, "source"),
        type=_required(attributes, "type"),
        subject=_optional(attributes, "subject"),
        time=_time(attributes.get("time")),
        actor=_optional(attributes, "actor"),
        correlation_id=_optional(attributes, "correlationid"),
        causation_id=_optional(attributes, "causationid"),
        traceparent=traceparent if isinstance(traceparent, str) and _TRACEPARENT.fullmatch(traceparent) else None,
        data=data,
    )


def _well_formed(value: Any) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and 0 < len(value) <= ATTRIBUTE_LENGTH_MAX
        and (value.isprintable() or _CONTROL.search(value) is None)
    )


def _required(attributes: dict[str, Any], name: str) -> str:
    value = attributes.get(name)
    if _well_formed(value):
        return value
    raise InvalidEnvelope(
        f"{name}: must be a text of 1 to {ATTRIBUTE_LENGTH_MAX} characters, none of them a control character"
    )


def _optional(attributes: dict[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return value if _well_formed(value) else None


def _time(value: Any) -> datetime | None:
    try:
        return parse_timestamp(value) if isinstance(value, str) else None
    except ValueError:
        return None
