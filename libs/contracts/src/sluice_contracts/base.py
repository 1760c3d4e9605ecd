"""What every message has in common: its type, topic and key, and the small types that its fields are made of."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
TEXT_PATTERN: Final = r"^[^\x00]*$"
DURATION_PATTERN: Final = r"^(?=.)([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"
DURATION_DAYS_MAX: Final = 3_650
SCOPE_PATTERN: Final = r"^(?:all|(?:channel|sender):[A-Za-z0-9][A-Za-z0-9._-]{0,55})$"
INTEGER_MAX: Final = 2**63 - 1
JSON_DEPTH_MAX: Final = 64
DURATION_RULE: Final = "must be a duration such as 1d12h30m10s, in that order, or 0s; at most ten years"

_DURATION: Final = re.compile(r"(?=.)(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 time with an offset; ValueError for anything else (a bare date, no offset, a number)."""
    if len(text) < 20 or text[10] not in "Tt " or not text[:4].isdigit():
        raise ValueError("not an RFC 3339 time")
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    return moment.astimezone(UTC)


def format_timestamp(moment: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC, with `Z` and always six digits, so that texts sort as times do."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_after(text: str) -> timedelta:
    """Read `1d12h30m10s` (any of d, h, m, s, in that order) or `0s`; ValueError for anything else or past ten years."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("not a duration")
    days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if duration.days > DURATION_DAYS_MAX:
        raise ValueError("too long a duration")
    return duration


def _check_duration(value: str) -> str:
    try:
        parse_after(value)
    except (ValueError, OverflowError):
        raise PydanticCustomError("rule", DURATION_RULE) from None
    return value


def _read_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("rule", "must be an RFC 3339 time with an offset")
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError):
        raise PydanticCustomError("rule", "must be an RFC 3339 time with an offset") from None


def _shallow(value: Any, depth: int) -> bool:
    """Whether a JSON value has no NUL character (Postgres refuses it) and is not nested beyond `depth` levels."""
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, dict):
        return depth > 0 and all("\x00" not in key and _shallow(item, depth - 1) for key, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_shallow(item, depth - 1) for item in value)
    return True


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    if not _shallow(value, JSON_DEPTH_MAX):
        raise PydanticCustomError("rule", f"must hold no NUL character and at most {JSON_DEPTH_MAX} levels")
    return value


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""An opaque id, chosen by whoever creates the thing."""

Text = Annotated[str, StringConstraints(pattern=TEXT_PATTERN, max_length=2_000)]
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=200)]
Duration = Annotated[str, AfterValidator(_check_duration), Field(json_schema_extra={"pattern": DURATION_PATTERN})]
"""`1d12h30m10s`, or `0s`."""
Scope = Annotated[str, StringConstraints(pattern=SCOPE_PATTERN)]
"""`all`, `channel:<name>` or `sender:<name>`."""

Count = Annotated[int, Field(strict=True, ge=0, le=INTEGER_MAX)]
Flag = Annotated[bool, Field(strict=True)]
Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_read_timestamp, json_schema_input_type=str),
    PlainSerializer(format_timestamp, return_type=str, when_used="json"),
    Field(json_schema_extra={"format": "date-time"}),
]
"""An aware time: any offset is read, UTC with `Z` and microseconds is written."""

JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]

RejectionCode = Literal[
    "invalid",
    "not_found",
    "conflict",
    "wrong_state",
    "deleted",
    "limit",
    "internal",
    "sequence_paused",
    "sequence_not_active",
    "already_enrolled",
    "removed",
    "opted_out",
    "contact_unknown",
]
REJECTION_CODES: Final[tuple[RejectionCode, ...]] = (
    "invalid",
    "not_found",
    "conflict",
    "wrong_state",
    "deleted",
    "limit",
    "internal",
    "sequence_paused",
    "sequence_not_active",
    "already_enrolled",
    "removed",
    "opted_out",
    "contact_unknown",
)


class Part(BaseModel):
    """A piece of a message: frozen; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Message(Part):
    """The `data` of one record. Subclasses name their type, topic and the field that is the record's key."""

    TYPE: ClassVar[str] = ""
    TOPIC: ClassVar[str] = ""
    """The one topic that carries it; empty where whoever emits it says (answers)."""
    KEY: ClassVar[str] = ""

    def key(self) -> str:
        """The record's key."""
        value: str = getattr(self, self.KEY)
        return value

    def key_matches(self, key: str) -> bool:
        """Whether a record with this data may have that key."""
        return key == self.key()

    def to_json(self) -> bytes:
        """The data as UTF-8 JSON; optional fields that are absent are left out."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True, by_alias=True)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` wrote; pydantic.ValidationError where it is not that."""
        return cls.model_validate(orjson.loads(data))


class Command(Message):
    """Asks for something; every command gets exactly one answer."""

    RESULT: ClassVar[tuple[str, ...]] = ()
    """The fields of `result` in its CommandAccepted."""


class Event(Message):
    """Says what happened."""


class Answer(Message):
    """Tells the asker of a command what became of it."""


class Fact(Message):
    """What the account's own systems say of a contact."""
