"""What the words mean, written a second time: nothing here is taken from the services or their libraries."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def delay(text: str) -> timedelta:
    """`1d12h` as a time."""
    return timedelta(**{UNITS[unit]: int(number) for number, unit in re.findall(r"(\d+)([dhms])", text)})


@dataclass(frozen=True)
class Step:
    """One message of a version."""

    step_id: str
    after: timedelta
    channel: str
    text: str
    on_unknown: str


Conditions = tuple[tuple[str, Any], ...]
"""Fields and what they must equal, all at once: how values compare has tests of its own."""


@dataclass(frozen=True)
class Rules:
    """Who enters by itself, what ends an enrollment early, and whether a contact may enter only once."""

    triggers: frozenset[str] = frozenset()
    start: Conditions = ()
    success: Conditions = ()
    failure: Conditions = ()
    on_reply: bool = False
    once: bool = True

    def stops(self, attributes: Mapping[str, Any]) -> str | None:
        """The condition that ends an enrollment of such a contact."""
        if self.success and holds(self.success, attributes):
            return "success"
        return "failure" if self.failure and holds(self.failure, attributes) else None

    def lets_in(self, attributes: Mapping[str, Any]) -> bool:
        """Whether such a contact enters by itself: nobody enters only to be stopped."""
        return holds(self.start, attributes) and self.stops(attributes) is None


def holds(conditions: Conditions, attributes: Mapping[str, Any]) -> bool:
    """Whether all of them do."""
    return all(attributes.get(name) == value for name, value in conditions)


KOLKATA = timedelta(hours=5, minutes=30)
"""A zone whose clocks never change: what becomes of windows where they do has tests of its own."""


@dataclass(frozen=True)
class Window:
    """Every day from one time to another there, over midnight where it closes before it opens."""

    opens: timedelta
    closes: timedelta

    def opens_at(self, moment: datetime) -> datetime:
        """That moment where it is open then, else when it opens next."""
        there = moment + KOLKATA
        today = there.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
            closes = day + self.closes + timedelta(days=self.closes < self.opens)
            if closes > there:
                return max(moment, day + self.opens - KOLKATA)
        raise AssertionError


@dataclass(frozen=True)
class Version:
    """One published version."""

    number: int
    steps: Mapping[str, Step]
    campaign: str | None
    rules: Rules
    window: Window | None

    @property
    def order(self) -> list[str]:
        """Its step ids."""
        return list(self.steps)


def version_of(number: int, document: Mapping[str, Any]) -> Version:
    """Read a definition."""
    steps = {}
    for one in document["steps"]:
        message = one["message"]
        text = message.get("text") or message["json"]["text"]
        on_unknown = one.get("on_unknown", "assume_sent")
        steps[one["step_id"]] = Step(one["step_id"], delay(one["after"]), message["channel"], text, on_unknown)
    return Version(number, steps, document.get("campaign"), rules_of(document), _window(document))


def _window(document: Mapping[str, Any]) -> Window | None:
    found = document.get("delivery")
    return None if found is None else Window(_time_of_day(found["from"]), _time_of_day(found["to"]))


def _time_of_day(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def rules_of(document: Mapping[str, Any]) -> Rules:
    """What a definition says of entry and of an early end."""
    stop = document.get("stop_when", {})
    return Rules(
        triggers=frozenset(document.get("trigger", {}).get("on", ())),
        start=_conditions(document.get("start_when", ())),
        success=_conditions(stop.get("success", ())),
        failure=_conditions(stop.get("failure", ())),
        on_reply=stop.get("on_reply", False),
        once=document.get("enroll_once", True),
    )


def _conditions(conditions: Iterable[Mapping[str, Any]]) -> Conditions:
    return tuple((one["field"], one["value"]) for one in conditions)


def under(entered: int, state: Mapping[str, Any]) -> int:
    """The version that who entered that one is under, from a sequence's state: a newer one that all follow."""
    followed = state.get("follow_version") or state["version"]
    return int(max(entered, followed))


class Option(NamedTuple):
    """Where an enrollment may stand: the step that it waits for (None: none is left), planned under a version."""

    step: str | None
    version: int


def follow(option: Option, ended: Collection[str], old: Version | None, new: Version) -> Option:
    """Continue in a newer version: at the same step, or behind the place where it was."""
    if option.step is not None and option.step in new.steps and option.step not in ended:
        return Option(option.step, new.number)
    return Option(_behind(option.step, ended, old, new), new.number)


def after_end(step: str, ended: Collection[str], old: Version, new: Version) -> Option:
    """What comes when a step has ended, in that version or a newer one."""
    return Option(_behind(step, ended, old, new), new.number)


def first(version: Version) -> Option:
    """Who enters begins at the beginning."""
    return Option(version.order[0], version.number)


def _behind(step: str | None, ended: Collection[str], old: Version | None, new: Version) -> str | None:
    """The first step that has not ended behind a step's place, or behind the nearest one before it that is left."""
    place = 0
    if step is not None:
        order = old.order if old is not None and step in old.steps else [*ended]
        upto = order.index(step) + 1 if step in order else len(order)
        left = [one for one in order[:upto] if one in new.steps]
        if step in new.steps:
            left = [step]
        place = new.order.index(left[-1]) + 1 if left else 0
    for one in new.order[place:]:
        if one not in ended:
            return one
    if step is not None and step not in new.steps and old is not None and step in old.steps:
        # It is gone, and those that came after it were moved before everything that is left.
        followers = old.order[old.order.index(step) + 1 :]
        return next((one for one in followers if one in new.steps and one not in ended), None)
    return None


@dataclass
class ActiveClock:
    """Plain time without the pauses that were shifted; it stands while there is one, and jumps behind any other."""

    pauses: list[tuple[datetime, datetime, bool]] = field(default_factory=list)
    """From, to, and whether it was shifted."""
    paused_at: datetime | None = None

    def at(self, moment: datetime) -> datetime:
        """What it shows then."""
        stood = timedelta()
        for paused, resumed, shifted in self.pauses:
            if shifted or moment < resumed:
                stood += max(min(moment, resumed) - paused, timedelta())
        if self.paused_at is not None:
            stood += max(moment - self.paused_at, timedelta())
        return moment - stood

    def copy(self) -> "ActiveClock":
        """As it stands."""
        return ActiveClock(list(self.pauses), self.paused_at)
