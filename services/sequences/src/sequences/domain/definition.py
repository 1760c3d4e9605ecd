"""Whether a draft may be published. Every fault is found at once, and named with its place."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from campaign.window import CONTACT
from campaign.zones import zone_named
from messaging import Refused
from pydantic import TypeAdapter, ValidationError
from sluice_contracts.answers import Fault
from sluice_contracts.base import RejectionCode
from sluice_contracts.definition import StepMessage, faults_of, parse_definition
from templates import check_message

from sequences.domain.sequence import Definition

FAULTS_MAX: Final = 200
"""How many faults an answer names; a draft of 256 KiB can hold more than a record could carry."""
STEPS_AT_ONCE: Final = 20
"""Steps whose templates are compiled before others get their turn: some 30 ms."""

_MESSAGE: Final[TypeAdapter[StepMessage]] = TypeAdapter(StepMessage)
ORDERING: Final = frozenset({"greater_than", "less_than"})
_NO_ZONE: Final = {
    "timezone": "must be contact or the name of a time zone",
    "fallback_timezone": "must be the name of a time zone",
}
_UNIQUE: Final = Fault(place="steps", rule="step ids must be unique")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a definition may be."""

    definition_bytes_max: int
    steps_max: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a draft: broken rules, and exceeded limits."""

    broken: tuple[Fault, ...] = ()
    exceeded: tuple[Fault, ...] = ()

    def also(self, broken: Iterable[Fault]) -> "Findings":
        """These and some more broken rules."""
        return replace(self, broken=(*self.broken, *broken))


def refuse_too_large(definition: Definition, limits: Limits) -> None:
    """Refuse a definition that, as compact JSON in UTF-8, is larger than the limit."""
    if len(orjson.dumps(definition)) > limits.definition_bytes_max:
        rule = f"must be at most {limits.definition_bytes_max} bytes of JSON"
        raise Refused("limit", f"the definition {rule}", [Fault(place="definition", rule=rule)])


def is_same(one: Definition | None, other: Definition | None) -> bool:
    """Whether two definitions are the same JSON, whatever the order of their keys."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def inspect_form(definition: Definition, limits: Limits) -> Findings:
    """All that is wrong with a draft but its templates."""
    broken = _model_faults(definition)
    if _UNIQUE not in broken and _has_repeated_ids(definition):
        broken.append(_UNIQUE)  # the model looks for them only where each step by itself is valid
    broken += zone_faults(definition)
    broken += operand_faults(definition)
    steps = len(_steps(definition))
    rule = f"must have at most {limits.steps_max} items"
    exceeded = (Fault(place="steps", rule=rule),) if steps > limits.steps_max else ()
    return Findings(tuple(broken), exceeded)


def inspect_templates(definition: Definition, limits: Limits) -> Iterator[list[Fault]]:
    """What is wrong with the templates of a draft, a few steps at a time: compiling takes half a millisecond each."""
    steps = _steps(definition)[: limits.steps_max]
    for first in range(0, len(steps), STEPS_AT_ONCE):
        numbered = enumerate(steps[first : first + STEPS_AT_ONCE], start=first)
        yield [fault for number, step in numbered for fault in _template_faults(number, step)]


def refuse_faulty(findings: Findings) -> None:
    """Refuse to publish a draft in which something was found."""
    faults = [*findings.broken, *findings.exceeded]
    if not faults:
        return
    told = len(faults) if len(faults) <= FAULTS_MAX else f"{len(faults)}, of which {FAULTS_MAX} are named"
    code: RejectionCode = "invalid" if findings.broken else "limit"
    raise Refused(code, f"the draft cannot be published; faults: {told}", faults[:FAULTS_MAX])


def _model_faults(definition: Definition) -> list[Fault]:
    try:
        parse_definition(definition)
    except ValidationError as error:
        return faults_of(error)
    return []


def _template_faults(number: int, step: Any) -> Iterable[Fault]:
    if not isinstance(step, Mapping):
        return
    try:
        message = _MESSAGE.validate_python(step.get("message"))
    except ValidationError:
        return  # told by the model already
    for fault in check_message(message):
        yield Fault(place=f"steps[{number}].message.{fault.place}", rule=fault.rule)


def zone_faults(definition: Definition) -> list[Fault]:
    """The places that name a time zone which is not there; the definition need not be valid otherwise."""
    window = definition.get("delivery")
    if not isinstance(window, Mapping):
        return []
    named = {name: window.get(name) for name in ("timezone", "fallback_timezone")}
    if named["timezone"] == CONTACT:
        del named["timezone"]
    return [
        Fault(place=f"delivery.{name}", rule=_NO_ZONE[name])
        for name, zone in named.items()
        if isinstance(zone, str) and zone_named(zone) is None
    ]


def operand_faults(definition: Definition) -> list[Fault]:
    """Conditions that could never hold, for only numbers and texts have an order."""
    return [
        Fault(place=f"{place}.value", rule="must be a number or a text")
        for place, condition in _conditions(definition)
        if condition.get("op") in ORDERING and "value" in condition and not _has_order(condition["value"])
    ]


def _conditions(definition: Definition) -> Iterator[tuple[str, Mapping[str, Any]]]:
    stop_when = definition.get("stop_when")
    lists = {"start_when": definition.get("start_when")}
    if isinstance(stop_when, Mapping):
        lists |= {f"stop_when.{name}": stop_when.get(name) for name in ("success", "failure")}
    for place, conditions in lists.items():
        for number, condition in enumerate(conditions if isinstance(conditions, list) else ()):
            if isinstance(condition, Mapping):
                yield f"{place}[{number}]", condition


def _has_order(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _has_repeated_ids(definition: Definition) -> bool:
    ids = [step.get("step_id") for step in _steps(definition) if isinstance(step, Mapping)]
    return any(times > 1 for times in Counter(id_ for id_ in ids if isinstance(id_, str)).values())


def _steps(definition: Definition) -> list[Any]:
    steps = definition.get("steps")
    return steps if isinstance(steps, list) else []
