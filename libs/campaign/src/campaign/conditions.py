"""What a definition asks of a contact: who enters, and what ends it before the last step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

TAGS: Final = "tags"
OPTED_OUT: Final = "opted_out"
ABSENT: Final = object()

StopReason = Literal["success", "failure", "opted_out"]


@dataclass(frozen=True, slots=True)
class Facts:
    """A contact, as far as conditions look at it."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    opted_out: bool = False

    def value(self, name: str) -> Any:
        """A field's value, or ABSENT. An attribute that is null is as one that is not there."""
        if name == TAGS:
            return list(self.tags)
        if name == OPTED_OUT:
            return self.opted_out
        value = self.attributes.get(name)
        return ABSENT if value is None else value


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of one field."""

    field: str
    op: str
    value: Any = None

    def holds(self, facts: Facts) -> bool:
        """Whether it holds. An absent field fails every operator but `not_exists`, `not_equals` and `not_contains`."""
        found = facts.value(self.field)
        if found is ABSENT:
            return self.op in {"not_exists", "not_equals", "not_contains"}
        match self.op:
            case "exists" | "not_exists":
                return self.op == "exists"
            case "equals" | "not_equals":
                return _equal(found, self.value) == (self.op == "equals")
            case "contains" | "not_contains":
                return _contains(found, self.value) == (self.op == "contains")
            case "in":
                return any(_equal(found, one) for one in self.value)
            case "greater_than":
                return _ordered(found, self.value) and found > self.value
            case "less_than":
                return _ordered(found, self.value) and found < self.value
            case _:
                return False


@dataclass(frozen=True, slots=True)
class StopWhen:
    """What ends an enrollment before its last step; a list that is empty ends none."""

    success: tuple[Condition, ...] = ()
    failure: tuple[Condition, ...] = ()
    on_reply: bool = False

    def met(self, facts: Facts) -> StopReason | None:
        """What ends it now: an opt-out before all else, then success, then failure."""
        return "opted_out" if facts.opted_out else self.holding(facts)

    def holding(self, facts: Facts) -> Literal["success", "failure"] | None:
        """Which condition holds, whether they have opted out or not: success before failure."""
        if self.success and all_hold(self.success, facts):
            return "success"
        if self.failure and all_hold(self.failure, facts):
            return "failure"
        return None


def all_hold(conditions: Iterable[Condition], facts: Facts) -> bool:
    """Whether all of them hold at once; none hold where there are none to break."""
    return all(condition.holds(facts) for condition in conditions)


def read_conditions(conditions: Iterable[Mapping[str, Any]] | None) -> tuple[Condition, ...]:
    """The conditions of a published definition."""
    return tuple(Condition(one["field"], one["op"], one.get("value")) for one in conditions or ())


def read_stop_when(stop_when: Mapping[str, Any] | None) -> StopWhen:
    """The `stop_when` of a published definition."""
    if stop_when is None:
        return StopWhen()
    return StopWhen(
        success=read_conditions(stop_when.get("success")),
        failure=read_conditions(stop_when.get("failure")),
        on_reply=bool(stop_when.get("on_reply")),
    )


def _kind(value: Any) -> type:
    """JSON's types: every number is of one, and a boolean is none."""
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _equal(one: Any, other: Any) -> bool:
    if _kind(one) is not _kind(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    return bool(one == other)


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, str):
        return isinstance(value, str) and value in found
    return isinstance(found, list) and any(_equal(one, value) for one in found)


def _ordered(one: Any, other: Any) -> bool:
    """Numbers have an order, and so have texts (by code point, so that ISO dates compare as dates)."""
    return _kind(one) is _kind(other) and _kind(one) in {float, str}
