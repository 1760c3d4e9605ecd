"""What every message has in common: its type, topic and key, and the small types that its fields are made of."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
TEXT_PATTERN: Final = r"^[^\x00]*$"
DURATION_PATTERN: Final = r"^(?=.)([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"
DURATION_DAYS_MAX: Final = 3_650
SCOPE_PATTERN: Final = r"^(?:all|(?:channel|sender):[A-Za-z0-9][A-Za-z0-9._-]{0,55})$"
INTEGER_MAX: Final = 2**63 - 1
JSON_DEPTH_MAX: Final = 64
DURATION_RULE: Final = "must be a duration such as 1d12h30m10s, in that order, or 0s; at most ten years"
TIMESTAMP_RULE: Final = "must be an RFC 3339 time with an offset"

_DURATION: Final = re.compile(r"(?=.)(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def parse_timestamp(text: str) -> datetime:
    """Read an RFC 3339 time with an offset; ValueError for anything else (a bare date, no offset, a number)."""
    if len(text) == 27 and text[10] == "T" and text[26] == "Z":  # as `format_timestamp` writes it
        return datetime.fromisoformat(text)
    if len(text) < 20 or text[10] not in "Tt " or not text.isascii():
        raise ValueError("not an RFC 3339 time")
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time outside the calendar") from None


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


class _TimestampSchema:
    """How pydantic treats a Timestamp: aware ones at its own speed, texts, and one error for the rest."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        aware = core_schema.datetime_schema(strict=True, tz_constraint="aware")
        either = core_schema.no_info_plain_validator_function(_read_timestamp)
        return core_schema.lax_or_strict_schema(lax_schema=either, strict_schema=aware)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


def _read_timestamp(value: Any) -> datetime:
    try:
        if isinstance(value, str):
            return parse_timestamp(value)
    except ValueError:
        pass
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value
    raise PydanticCustomError("rule", TIMESTAMP_RULE)


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
Timestamp = Annotated[datetime, _TimestampSchema]
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


def to_json_slowly(fields: dict[str, Any]) -> bytes:
    """Write a dumped model with every time as `format_timestamp` says."""
    return orjson.dumps(fields, default=format_timestamp, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _is_time(field: FieldInfo) -> bool:
    """Whether a field is a Timestamp, optional or not (a message with times further inside writes itself slowly)."""
    return _TimestampSchema in field.metadata or Timestamp in get_args(field.annotation)


class Part(BaseModel):
    """A piece of a message: frozen; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Message(Part):
    """The `data` of one record. Subclasses name their type, topic and the field that is the record's key."""

    TYPE: ClassVar[str] = ""
    TOPIC: ClassVar[str] = ""
    """The one topic that carries it; empty where whoever emits it says (answers)."""
    KEY: ClassVar[str] = ""
    _TIMES: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Note which fields are times, for `to_json`."""
        super().__pydantic_init_subclass__(**kwargs)
        cls._TIMES = tuple(name for name, field in cls.model_fields.items() if _is_time(field))

    def key(self) -> str:
        """The record's key."""
        value: str = getattr(self, self.KEY)
        return value

    def key_matches(self, key: str) -> bool:
        """Whether a record with this data may have that key."""
        return key == self.key()

    def to_json(self) -> bytes:
        """The data as UTF-8 JSON; optional fields that are absent are left out, times are as `format_timestamp` says.

        pydantic's own writer is four times as fast as a function of ours per time, and writes the same unless a time is
        not in UTC or falls on a whole second (once in a million). Those few go the slow way.
        """
        fields = self.__dict__
        for name in self._TIMES:
            moment = fields[name]
            if moment is not None and (moment.tzinfo is not UTC or not moment.microsecond):
                return to_json_slowly(self.model_dump(exclude_none=True, by_alias=True))
        return self.__pydantic_serializer__.to_json(self, exclude_none=True, by_alias=True)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read the data of a record; pydantic.ValidationError where it is not that.

        As `model_validate` does, without what that does in Python first: a third of its time.
        """
        read: Self = cls.__pydantic_validator__.validate_python(data)
        return read

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` wrote; pydantic.ValidationError where it is not that."""
        return cls.from_dict(orjson.loads(data))


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
