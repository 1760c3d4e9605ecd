"""One AsyncAPI 3.0 document per service, made of the models, the topics file, the golden files and the guide."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice_contracts import guide, topics
from sluice_contracts.base import ID_PATTERN, SCOPE_PATTERN, Answer, Command, Message
from sluice_contracts.definition import Definition
from sluice_contracts.envelope import ATTRIBUTE_LENGTH_MAX, CONTENT_TYPE
from sluice_contracts.registry import on_topic
from sluice_contracts.schemas import schema_of
from sluice_contracts.topics_file import TopicSpec

BINDING_VERSION: Final = "0.5.0"
TOMBSTONE: Final = "Tombstone"
QUARANTINED: Final = "QuarantinedRecord"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service reads and writes."""

    name: str
    title: str
    guide: str
    receives: tuple[str, ...]
    sends: tuple[str, ...]


SERVICES: Final = (
    Service(
        "sequences",
        "Sluice: sequences",
        guide.SEQUENCES,
        receives=(
            topics.SEQUENCES_COMMANDS,
            topics.ENROLLMENT_CONTROL,
            topics.DELIVERY_CONTROL,
            topics.ERASURE_RECEIPTS,
            topics.SEQUENCES_EVENTS,
            topics.SEQUENCES_VERSIONS,
        ),
        sends=(
            topics.SEQUENCES_ANSWERS,
            topics.SEQUENCES_EVENTS,
            topics.SEQUENCES_VERSIONS,
            topics.SEQUENCES_CONTROL,
            topics.ERASURE_RECEIPTS,
            topics.SEQUENCES_QUARANTINE,
        ),
    ),
    Service(
        "enrollment",
        "Sluice: enrollment",
        guide.ENROLLMENT,
        receives=(
            topics.ENROLLMENT_COMMANDS,
            topics.ENROLLMENT_REMOVALS,
            topics.ENROLLMENT_IMPORTS,
            topics.SEQUENCES_EVENTS,
            topics.SEQUENCES_VERSIONS,
            topics.CONTACTS_EVENTS,
            topics.CONTACTS_ACTIVITY,
            topics.DELIVERY_EVENTS,
        ),
        sends=(
            topics.ENROLLMENT_ANSWERS,
            topics.ENROLLMENT_EVENTS,
            topics.ENROLLMENT_CONTROL,
            topics.ERASURE_RECEIPTS,
            topics.ENROLLMENT_QUARANTINE,
        ),
    ),
    Service(
        "delivery",
        "Sluice: delivery",
        guide.DELIVERY,
        receives=(
            topics.DELIVERY_COMMANDS,
            topics.SEQUENCES_EVENTS,
            topics.SEQUENCES_VERSIONS,
            topics.CONTACTS_EVENTS,
            topics.CONTACTS_ACTIVITY,
            topics.ENROLLMENT_EVENTS,
            topics.ENROLLMENT_CONTROL,
        ),
        sends=(
            topics.DELIVERY_ANSWERS,
            topics.DELIVERY_EVENTS,
            topics.DELIVERY_BOOKS,
            topics.DELIVERY_CONTROL,
            topics.CONTACTS_ACTIVITY,
            topics.ERASURE_RECEIPTS,
            topics.DELIVERY_QUARANTINE,
        ),
    ),
    Service(
        "console",
        "Sluice: console",
        guide.CONSOLE,
        receives=(
            topics.SEQUENCES_EVENTS,
            topics.SEQUENCES_VERSIONS,
            topics.SEQUENCES_CONTROL,
            topics.CONTACTS_EVENTS,
            topics.CONTACTS_ACTIVITY,
            topics.ENROLLMENT_EVENTS,
            topics.ENROLLMENT_CONTROL,
            topics.DELIVERY_EVENTS,
            topics.DELIVERY_BOOKS,
            topics.DELIVERY_CONTROL,
            topics.ERASURE_RECEIPTS,
        ),
        sends=(topics.ERASURE_RECEIPTS, topics.CONSOLE_QUARANTINE),
    ),
)

_CLOUD_EVENT: Final[Json] = {
    "type": "object",
    "description": "A CloudEvents 1.0 event in structured JSON. `source` and `id` together are its identity.",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        **{
            name: {"type": "string", "minLength": 1, "maxLength": ATTRIBUTE_LENGTH_MAX, "description": text}
            for name, text in {
                "id": "Unique for its source; repeated when the record is repeated.",
                "source": "Who says so: a URI reference.",
                "type": "The message and its version.",
                "subject": "The record's key.",
                "correlationid": "The id of the command from which it follows; of an answer, the answered one.",
                "causationid": "The id of the record that caused it.",
                "actor": "Who asked for it in the first place; absent, that is the source.",
            }.items()
        },
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object"},
    },
}
_HEADERS: Final[Json] = {
    "type": "object",
    "description": "Of a record in structured mode; we read one without `content-type` as such, too.",
    "properties": {
        "content-type": {"const": CONTENT_TYPE},
        "traceparent": {"type": "string", "description": "W3C Trace Context."},
    },
}
_TEXT_KEY: Final[Json] = {"type": "string"}
_CONFIGURATION: Final = ("cleanup.policy", "retention.ms", "delete.retention.ms", "max.message.bytes")


def document(service: Service, *, specs: Mapping[str, TopicSpec], golden: Path) -> Json:
    """The AsyncAPI document of one service. Deterministic: the same models and files give the same document."""
    names = list(dict.fromkeys(service.receives + service.sends))
    models = {model.TYPE: model for name in names for model in on_topic(name).values()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": service.title,
            "version": "1.0.0",
            "description": f"{service.guide}\n{guide.COMMON}",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "cluster": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Kafka cluster of the deployment.",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "A bootstrap server."}},
            }
        },
        "channels": {name: _channel(specs[name]) for name in names},
        "operations": dict(_operations(service)),
        "components": {
            "messages": {
                **{kind: _message(model, golden=golden) for kind, model in models.items()},
                **_special_messages(names),
            },
            "schemas": _schemas(list(models.values()), definition=service.name == "sequences"),
        },
    }


def _channel(spec: TopicSpec) -> Json:
    configuration: Json = {
        setting: int(spec.config[setting]) if setting != "cleanup.policy" else spec.config[setting].split(",")
        for setting in _CONFIGURATION
        if setting in spec.config
    }
    return {
        "address": spec.name,
        "title": spec.name,
        "description": f"Key: {spec.key}. Written by: {spec.written_by}. {_keeping(spec)}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(spec.name)},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "replicas": spec.replication_factor,
                "topicConfiguration": configuration,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _keeping(spec: TopicSpec) -> str:
    day = 86_400_000
    if spec.config["cleanup.policy"] == "delete":
        return f"Kept for {int(spec.config['retention.ms']) // day} days."
    whole = int(spec.config["min.compaction.lag.ms"]) // day
    tombstones = int(spec.config["delete.retention.ms"]) // day
    everything = f"every record is kept for at least {whole} days, " if whole else ""
    return f"Compacted: {everything}the latest of each key for good, a tombstone for {tombstones} days."


def _message_names(topic: str) -> list[str]:
    if topic in topics.QUARANTINES:
        return [QUARANTINED]
    return [*on_topic(topic), *([TOMBSTONE] if topic in topics.COMPACTED else [])]


def _operations(service: Service) -> Iterator[tuple[str, Json]]:
    for topic in service.receives:
        operation = _operation("receive", topic)
        if topic in topics.ANSWERS_OF:
            answers = topics.ANSWERS_OF[topic]
            operation["reply"] = {"channel": {"$ref": f"#/channels/{answers}"}, "messages": _references(answers)}
        yield f"receive.{topic}", operation
    for topic in service.sends:
        yield f"send.{topic}", _operation("send", topic)


def _operation(action: str, topic: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{topic}"}, "messages": _references(topic)}


def _references(topic: str) -> list[Json]:
    return [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in _message_names(topic)]


def _message(model: type[Message], *, golden: Path) -> Json:
    example = json.loads((golden / f"{model.TYPE}.json").read_text(encoding="utf-8"))
    description = " ".join((model.__doc__ or "").split())
    if issubclass(model, Command):
        description += f" Accepted, its `result` has: {', '.join(f'`{name}`' for name in model.RESULT)}."
    message: Json = {
        "name": model.TYPE,
        "title": model.__name__,
        "description": description,
        "contentType": CONTENT_TYPE,
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "properties": {
                        "type": {"const": model.TYPE},
                        "data": {"$ref": f"#/components/schemas/{model.TYPE}"},
                    }
                },
            ]
        },
        "bindings": {"kafka": {"key": _key(model), "bindingVersion": BINDING_VERSION}},
        "examples": [{"name": model.TYPE, "headers": {"content-type": CONTENT_TYPE}, "payload": example}],
    }
    if issubclass(model, Answer):
        message["correlationId"] = {
            "description": "The id of the command.",
            "location": "$message.payload#/correlationid",
        }
    return message


def _key(model: type[Message]) -> Json:
    if issubclass(model, Answer):
        return {"type": "string", "description": "The id of the command."}
    if not model.KEY:  # made of two ids
        return {"type": "string", "description": "The sequence's id, a colon, and the version or the chunk."}
    pattern = SCOPE_PATTERN if model.KEY == "scope" else ID_PATTERN
    return {"type": "string", "pattern": pattern, "description": f"`{model.KEY}`, as in `data`."}


def _special_messages(names: Sequence[str]) -> Json:
    special: Json = {}
    if topics.COMPACTED.intersection(names):
        special[TOMBSTONE] = {
            "name": TOMBSTONE,
            "title": TOMBSTONE,
            "description": guide.TOMBSTONE,
            "payload": {"type": "null"},
            "bindings": {"kafka": {"key": _TEXT_KEY, "bindingVersion": BINDING_VERSION}},
        }
    if topics.QUARANTINES.intersection(names):
        special[QUARANTINED] = {
            "name": QUARANTINED,
            "title": "Quarantined record",
            "description": guide.QUARANTINE,
            "contentType": "application/octet-stream",
            "payload": {"description": "Any bytes, or null."},
        }
    return special


def _schemas(models: Sequence[type[Message]], *, definition: bool) -> Json:
    """All schemas flat, as components have them: what pydantic puts into `$defs` stands beside the messages."""
    flat: Json = {"CloudEvent": _CLOUD_EVENT, "Headers": _HEADERS}
    whole = [(model.TYPE, schema_of(model)) for model in models]
    if definition:
        whole.append(("Definition", schema_of(Definition)))
    for name, schema in whole:
        parts = schema.pop("$defs", {})
        del schema["$schema"]
        for part, part_schema in (*parts.items(), (name, schema)):
            flat[part] = _pointing_at_components(part_schema)
    return flat


def _pointing_at_components(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_pointing_at_components(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace("#/$defs/", "#/components/schemas/")
        if key == "$ref" and isinstance(value, str)
        else _pointing_at_components(value)
        for key, value in schema.items()
    }
