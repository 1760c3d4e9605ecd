"""Why a definition cannot be published, in its own words: all but its templates, and how large it may be."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from sluice_contracts.answers import Fault
from sluice_contracts.definition import faults_of, parse_definition

from campaign.window import CONTACT
from campaign.zones import zone_named

ORDERING: Final = frozenset({"greater_than", "less_than"})
_NO_ZONE: Final = {
    "timezone": "must be contact or the name of a time zone",
    "fallback_timezone": "must be the name of a time zone",
}
_UNIQUE: Final = Fault(place="steps", rule="step ids must be unique")


def form_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Every fault but those of templates. No document makes it raise."""
    broken = _model_faults(document)
    if _UNIQUE not in broken and _has_repeated_ids(document):
        broken.append(_UNIQUE)  # the model looks for them only where each step by itself is valid
    return [*broken, *_zone_faults(document), *_operand_faults(document)]


def steps_of(document: Mapping[str, Any]) -> list[Any]:
    """The steps as they stand there; none where it has no list of them."""
    steps = document.get("steps")
    return steps if isinstance(steps, list) else []


def _model_faults(document: Mapping[str, Any]) -> list[Fault]:
    try:
        parse_definition(document)
    except ValidationError as error:
        return faults_of(error)
    return []


def _zone_faults(document: Mapping[str, Any]) -> list[Fault]:
    """The places that name a time zone which is not there."""
    window = document.get("delivery")
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


def _operand_faults(document: Mapping[str, Any]) -> list[Fault]:
    """Conditions that could never hold, for only numbers and texts have an order."""
    return [
        Fault(place=f"{place}.value", rule="must be a number or a text")
        for place, condition in _conditions(document)
        if condition.get("op") in ORDERING and "value" in condition and not _has_order(condition["value"])
    ]


def _conditions(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    stop_when = document.get("stop_when")
    lists = {"start_when": document.get("start_when")}
    if isinstance(stop_when, Mapping):
        lists |= {f"stop_when.{name}": stop_when.get(name) for name in ("success", "failure")}
    for place, conditions in lists.items():
        for number, condition in enumerate(conditions if isinstance(conditions, list) else ()):
            if isinstance(condition, Mapping):
                yield f"{place}[{number}]", condition


def _has_order(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _has_repeated_ids(document: Mapping[str, Any]) -> bool:
    ids = [step.get("step_id") for step in steps_of(document) if isinstance(step, Mapping)]
    return any(times > 1 for times in Counter(id_ for id_ in ids if isinstance(id_, str)).values())
