"""What publishing a definition would change: its steps, and for whom."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from campaign.definition import Step, read_definition

from console.domain.course import Course, Position, Published

SETTINGS: Final = ("name", "campaign", "trigger", "start_when", "stop_when", "enroll_once", "delivery")
"""What a definition says beside its steps."""


@dataclass(frozen=True, slots=True)
class StepEdit:
    """One step before and after."""

    step_id: str
    changes: tuple[str, ...]
    before: str | None
    after: str | None


@dataclass(slots=True)
class Impact:
    """For how many an edit changes what comes next."""

    inside: int = 0
    touched: int = 0
    due_at_once: int = 0
    finished_at_once: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    """How many wait for each step now."""


def steps_edited(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[StepEdit]:
    """Every step of either, in the new order, then those that are removed."""
    old = {step["step_id"]: step for step in (before or {}).get("steps", ())}
    new = {step["step_id"]: step for step in after["steps"]}
    stayed = [step_id for step_id in old if step_id in new]
    order = {step_id: place for place, step_id in enumerate(one for one in new if one in old)}
    edits = []
    for step_id, step in new.items():
        if step_id not in old:
            edits.append(StepEdit(step_id, ("added",), None, _described(step, list(new))))
            continue
        moved = stayed.index(step_id) != order[step_id]
        changes = (*(("moved",) if moved else ()), *_changed(old[step_id], step))
        edits.append(StepEdit(step_id, changes, _described(old[step_id], list(old)), _described(step, list(new))))
    removed = (step_id for step_id in old if step_id not in new)
    edits += [StepEdit(one, ("removed",), _described(old[one], list(old)), None) for one in removed]
    return edits


def settings_edited(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """What else changes, by name."""
    return [name for name in SETTINGS if (before or {}).get(name) != after.get(name)]


def published(course: Course, document: Mapping[str, Any], *, follow: bool, now: datetime) -> Course:
    """The course with the document as its next version."""
    number = (course.version or 0) + 1
    versions = {**course.versions, number: Published(read_definition(number, document), now)}
    followed = number if follow or course.version is None else course.follow_version
    if followed is None:
        followed = course.version
    return replace(course, versions=versions, version=number, follow_version=followed)


class Weighing:
    """Counts, one enrollment after the other, for how many an edit changes what comes next."""

    def __init__(self, before: Course, after: Course, *, now: datetime) -> None:
        self._before = before
        self._after = after
        self._active_now = before.clock.at(now)
        self._times = sorted(one.published_at for one in before.versions.values() if one.published_at is not None)
        self._known: dict[tuple[Any, ...], tuple[Step | None, Step | None]] = {}
        self.impact = Impact()

    def weigh_all(self, positions: Iterable[Position]) -> Impact:
        """Count all of these."""
        for position in positions:
            self.weigh(position)
        return self.impact

    def weigh(self, position: Position) -> None:
        """Count one live enrollment."""
        old, new = self._steps(position)
        impact = self.impact
        impact.inside += 1
        if old is not None:
            impact.waiting[old.step_id] = impact.waiting.get(old.step_id, 0) + 1
        if new is None:
            impact.finished_at_once += old is not None
            impact.touched += old is not None
            return
        if old == new:
            return
        base = self._before.clock.at(position.since)
        was_due = old is not None and base + old.after <= self._active_now
        impact.touched += 1
        impact.due_at_once += not was_due and base + new.after <= self._active_now

    def _steps(self, position: Position) -> tuple[Step | None, Step | None]:
        """The next step before and after; the same for all who stand at the same place between the same versions."""
        place = (position.entered, position.ended, position.version, bisect_right(self._times, position.since))
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = (self._before.next_step(position), self._after.next_step(position))
        return found


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    old, new = before["message"], after["message"]
    ways = ("channel", "sender")
    changes = []
    if before["after"] != after["after"]:
        changes.append("delay")
    if any(old.get(one) != new.get(one) for one in ways):
        changes.append("channel")
    if _without(old, ways) != _without(new, ways) or before.get("on_unknown") != after.get("on_unknown"):
        changes.append("content")
    return tuple(changes)


def _without(message: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


def _described(step: Mapping[str, Any], order: list[str]) -> str:
    sender = step["message"].get("sender")
    way = step["message"]["channel"] + (f" ({sender})" if sender else "")
    return f"{order.index(step['step_id']) + 1}. {way} after {step['after']}"
