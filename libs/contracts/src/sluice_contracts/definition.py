"""What a sequence is made of. A draft may be any JSON object; what is published has passed `Definition`."""

import re
from collections import Counter
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from sluice_contracts.answers import Fault
from sluice_contracts.base import (
    DURATION_RULE,
    ID_PATTERN,
    SCOPE_PATTERN,
    TEXT_PATTERN,
    Duration,
    Flag,
    Id,
    JsonObject,
    Name,
    Part,
    parse_after,
)

__all__ = [
    "DURATION_RULE",
    "Condition",
    "Definition",
    "DeliveryWindow",
    "EmailMessage",
    "Fault",
    "Step",
    "StepMessage",
    "StopWhen",
    "Trigger",
    "WebhookMessage",
    "WhatsAppMessage",
    "faults_of",
    "parse_after",
    "parse_definition",
]

Body = Annotated[str, StringConstraints(pattern=TEXT_PATTERN, min_length=1)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00\r\n]*$", min_length=1)]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")]
OnUnknown = Literal["assume_sent", "retry"]
Operator = Literal[
    "equals",
    "not_equals",
    "contains",
    "not_contains",
    "in",
    "greater_than",
    "less_than",
    "exists",
    "not_exists",
]


class Condition(Part):
    """One test of a contact: an attribute, `tags` or `opted_out`."""

    field: Name
    op: Operator
    value: Any = None

    _VALUELESS: ClassVar[frozenset[str]] = frozenset({"exists", "not_exists"})

    @model_validator(mode="after")
    def _value_fits(self) -> Self:
        if (self.op in self._VALUELESS) == ("value" in self.model_fields_set):
            rule = "takes no value" if self.op in self._VALUELESS else "needs a value"
            raise PydanticCustomError("rule", f"this operator {rule}")
        if self.op == "in" and not isinstance(self.value, list):
            raise PydanticCustomError("rule", "this operator needs a list as its value")
        return self


class Trigger(Part):
    """Which changes of a contact let it enter, where `start_when` holds."""

    on: Annotated[list[Literal["created", "updated"]], Field(min_length=1)]


class StopWhen(Part):
    """What ends an enrollment before its last step."""

    success: list[Condition] = Field(default_factory=list)
    failure: list[Condition] = Field(default_factory=list)
    on_reply: Flag = False


class DeliveryWindow(Part):
    """When messages may leave: on these days, `[from, to)`, by the contact's zone or a fixed one."""

    days: Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)]
    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay
    timezone: Name = Field(default="contact", description="`contact`, or the name of a zone.")
    fallback_timezone: Name | None = None

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if self.from_ == self.to:
            raise PydanticCustomError("rule", "from and to must differ")
        return self


class _ChannelMessage(Part):
    sender: Id | None = Field(default=None, description="Whose credentials, by name; they live in delivery's settings.")


class WhatsAppMessage(_ChannelMessage):
    """A template that WhatsApp has approved; `variables` are templates of ours."""

    channel: Literal["whatsapp"]
    template: Line
    language: Name
    variables: dict[Name, Body] = Field(default_factory=dict)


class EmailMessage(_ChannelMessage):
    """An e-mail: a subject, and a text or an HTML body or both."""

    channel: Literal["email"]
    subject: Line
    text: Body | None = None
    html: Body | None = None

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if self.text is None and self.html is None:
            raise PydanticCustomError("rule", "needs text or html")
        return self


class WebhookMessage(_ChannelMessage):
    """A POST of JSON; each text in it is a template."""

    channel: Literal["webhook"]
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$", max_length=2_000)]
    json_: JsonObject = Field(alias="json", default_factory=dict)


StepMessage = Annotated[WhatsAppMessage | EmailMessage | WebhookMessage, Field(discriminator="channel")]


class Step(Part):
    """One message, and how long after the step before (the first: after the entry) it is due."""

    step_id: Id
    after: Duration
    message: StepMessage
    on_unknown: OnUnknown = "assume_sent"


class Definition(Part):
    """A whole sequence."""

    name: Name
    campaign: Name | None = None
    trigger: Trigger | None = None
    start_when: list[Condition] = Field(default_factory=list)
    stop_when: StopWhen | None = None
    enroll_once: Flag = True
    delivery: DeliveryWindow | None = None
    steps: Annotated[list[Step], Field(min_length=1)]

    @field_validator("steps")
    @classmethod
    def _unique_step_ids(cls, steps: list[Step]) -> list[Step]:
        repeated = [step_id for step_id, times in Counter(step.step_id for step in steps).items() if times > 1]
        if repeated:
            raise PydanticCustomError("rule", "step ids must be unique")
        return steps


def parse_definition(value: Any) -> Definition:
    """Read a definition that is to be published: an unknown field is a fault, for nothing is accepted and ignored.

    Who reads what is published already uses `Definition.model_validate`, which ignores what it does not know.
    Raises pydantic.ValidationError; see `faults_of`.
    """
    return Definition.model_validate(value, extra="forbid")


_CHANNELS: Final = frozenset({"whatsapp", "email", "webhook"})
_PLACE: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_PATTERN_RULES: Final = {
    ID_PATTERN: "must be an id: at most 64 of letters, digits, '.', '_', ':', '-', starting with a letter or a digit",
    TEXT_PATTERN: "must hold no NUL character",
    SCOPE_PATTERN: "must be all, channel:<name> or sender:<name>",
    r"^[^\x00-\x1f\x7f]+$": "must hold no control character",
    r"^[^\x00\r\n]*$": "must be one line",
    r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$": "must be a time of day, HH:MM",
    r"^https?://[^\s\x00-\x1f\x7f]+$": "must be an http or https address",
}
_RULES: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be one of {expected}",
    "union_tag_not_found": "needs a channel: whatsapp, email or webhook",
    "union_tag_invalid": "the channel must be whatsapp, email or webhook",
    "timezone_aware": "must be an RFC 3339 time with an offset",
}


def faults_of(error: ValidationError) -> list[Fault]:
    """Every broken rule with its place (`steps[2].message.subject`), in plain words and without any value."""
    return [
        Fault(place=_place(details["loc"]), rule=rule_of(details))
        for details in error.errors(include_url=False, include_input=False)
    ]


def _place(location: tuple[int | str, ...]) -> str:
    place = ""
    for before, part in zip((None, *location), location, strict=False):
        if isinstance(part, int):
            place += f"[{part}]"
        elif before == "message" and part in _CHANNELS:
            continue  # pydantic names the member of the union there; it is no field
        else:
            name = part if _PLACE.fullmatch(part) else "?"
            place += f".{name}" if place else name
    return place or "data"


def rule_of(details: ErrorDetails) -> str:
    """A broken rule in plain words."""
    context = details.get("ctx", {})
    match details["type"]:
        case "rule":
            return details["msg"]
        case "string_pattern_mismatch":
            return _PATTERN_RULES.get(str(context.get("pattern")), "is not valid")
        case kind:
            return _RULES.get(kind, "is not valid").format_map(context)
