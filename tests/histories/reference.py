"""What the words mean, written a second time: nothing here is taken from the services or their libraries."""

import re
from collections.abc import Collection, Mapping
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


@dataclass(frozen=True)
class Version:
    """One published version."""

    number: int
    steps: Mapping[str, Step]
    campaign: str | None

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
    return Version(number, steps, document.get("campaign"))


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
