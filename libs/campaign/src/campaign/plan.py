"""Which message an enrollment gets next, and when: the rules of an edit that is followed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from campaign.definition import Definition, Step


@dataclass(frozen=True, slots=True)
class Position:
    """Where an enrollment stands: the step it waits for (None: not planned yet) and those that ended, in order."""

    base_active: datetime
    """What the next delay counts from, on the active clock: entry, or the end of the step before."""
    step_id: str | None = None
    ended: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """The next message, and when it is due on the active clock."""

    step_id: str
    lane: str
    due_active: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Finished:
    """No step is left."""


def plan(position: Position, definition: Definition, *, previous: Definition | None = None) -> Planned | Finished:
    """Plan what comes next in `definition`; `previous` is the version under which the position was planned."""
    step = next_step(
        definition,
        after_step=position.ended[-1] if position.ended else None,
        step_id=position.step_id,
        ended=position.ended,
        previous=previous,
    )
    if step is None:
        return Finished()
    return Planned(step.step_id, step.lane, position.base_active + step.after, definition.version)


def next_step(
    definition: Definition,
    *,
    after_step: str | None,
    step_id: str | None,
    ended: Collection[str],
    previous: Definition | None = None,
) -> Step | None:
    """The step to send next, or None where none is left.

    `step_id` is the step that the enrollment waits for (None right after one ended, and before the first), `after_step`
    the last one that ended. A step that it waits for stays the next one wherever it stands now, so what was put before
    it never fires. A removed one leads to what stands behind the place where it was: behind the nearest step before it
    that is still there. A step that has ended never comes again.
    """
    if step_id is not None and step_id in definition.places and step_id not in ended:
        return definition.steps[definition.places[step_id]]
    waited_for = step_id if step_id is not None else after_step
    start = _place_behind(definition, waited_for, ended=ended, previous=previous)
    for step in definition.steps[start:]:
        if step.step_id not in ended:
            return step
    return _next_of_old_order(definition, waited_for, ended=ended, previous=previous)


def _place_behind(
    definition: Definition, step_id: str | None, *, ended: Collection[str], previous: Definition | None
) -> int:
    """The place right behind a step that may be gone: behind it, else behind the nearest one before it."""
    if step_id is None:
        return 0
    before: list[str] = [step_id]
    if previous is not None and step_id in previous.places:
        before += [step.step_id for step in reversed(previous.steps[: previous.places[step_id]])]
    else:
        before += reversed(list(ended))
    return next((definition.places[one] + 1 for one in before if one in definition.places), 0)


def _next_of_old_order(
    definition: Definition, step_id: str | None, *, ended: Collection[str], previous: Definition | None
) -> Step | None:
    """Where a removed step's followers were moved to the front: the first of them that has not ended."""
    if step_id is None or previous is None or step_id not in previous.places or step_id in definition.places:
        return None
    for step in previous.steps[previous.places[step_id] + 1 :]:
        if step.step_id in definition.places and step.step_id not in ended:
            return definition.steps[definition.places[step.step_id]]
    return None
