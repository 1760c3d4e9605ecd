"""Whether a draft may be published. Every fault is found at once, and named with its place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import orjson
from campaign.faults import form_faults, steps_of
from messaging import Refused
from sluice_contracts.answers import Fault
from sluice_contracts.base import RejectionCode
from templates import step_faults

from sequences.domain.sequence import Definition

FAULTS_MAX: Final = 200
"""How many faults an answer names; a draft of 256 KiB can hold more than a record could carry."""
STEPS_AT_ONCE: Final = 20
"""Steps whose templates are compiled before others get their turn: some 30 ms."""


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
    steps = len(steps_of(definition))
    rule = f"must have at most {limits.steps_max} items"
    exceeded = (Fault(place="steps", rule=rule),) if steps > limits.steps_max else ()
    return Findings(tuple(form_faults(definition)), exceeded)


def inspect_templates(definition: Definition, limits: Limits) -> Iterator[list[Fault]]:
    """What is wrong with the templates of a draft, a few steps at a time: compiling takes half a millisecond each."""
    steps = steps_of(definition)[: limits.steps_max]
    for first in range(0, len(steps), STEPS_AT_ONCE):
        numbered = enumerate(steps[first : first + STEPS_AT_ONCE], start=first)
        yield [fault for number, step in numbered for fault in step_faults(number, step)]


def refuse_faulty(findings: Findings) -> None:
    """Refuse to publish a draft in which something was found."""
    faults = [*findings.broken, *findings.exceeded]
    if not faults:
        return
    told = len(faults) if len(faults) <= FAULTS_MAX else f"{len(faults)}, of which {FAULTS_MAX} are named"
    code: RejectionCode = "invalid" if findings.broken else "limit"
    raise Refused(code, f"the draft cannot be published; faults: {told}", faults[:FAULTS_MAX])
