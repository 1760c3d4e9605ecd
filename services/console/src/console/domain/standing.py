"""Where an enrollment stands: what comes next, when, and why not yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from campaign.definition import Step

from console.domain.course import Course, Position
from console.domain.fact import ENDED_KINDS, Fact
from console.domain.sentence import when


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One enrollment as it is known, with the facts about it in their order."""

    enrollment_id: str
    contact_id: str
    sequence_id: str | None
    version: int | None
    via: str | None
    enrolled_at: datetime | None
    status: str
    reason: str | None
    ended_at: datetime | None
    facts: Sequence[Fact] = ()

    @property
    def ended(self) -> tuple[Fact, ...]:
        """What ended each step, in order; of a step told of twice the last word."""
        last = {fact.step_id: fact for fact in self.facts if fact.kind in ENDED_KINDS}
        return tuple(sorted(last.values(), key=lambda fact: fact.at))

    @property
    def unknown(self) -> Fact | None:
        """The message of which nobody knows whether it arrived."""
        return unresolved(self.facts)

    def withheld(self, *, contact_version: int | None, effective: int | None) -> Fact | None:
        """The condition for which the next message is kept back: until there is a newer contact record or version."""
        told = next((fact for fact in reversed(self.facts) if fact.kind == "condition" or fact.step_id), None)
        if told is None or told.kind != "condition":
            return None
        looked_at = (told.detail.get("contact_version", 0), told.detail.get("sequence_version", 0))
        return None if (contact_version or 0) > looked_at[0] or (effective or 0) > looked_at[1] else told

    @property
    def position(self) -> Position | None:
        """Where it stands; None where neither its entry nor the end of a step was heard."""
        ended = self.ended
        if ended:
            last = ended[-1]
            steps = tuple(fact.step_id for fact in ended if fact.step_id is not None)
            return Position(self.version, last.at, steps, last.detail.get("version"))
        return None if self.enrolled_at is None else Position(self.version, self.enrolled_at)


@dataclass(frozen=True, slots=True)
class Suspension:
    """A scope in which nothing is sent."""

    scope: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else decides whether a message leaves now."""

    now: datetime
    suspensions: Mapping[str, Suspension]
    timezone: str | None = None
    """The contact's."""
    contact_version: int | None = None
    """The newest record of the contact; None: it is gone, or was not heard."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer, with what comes next."""

    code: str
    answer: str
    step: Step | None = None
    due_at: datetime | None = None
    leaves_at: datetime | None = None


def unresolved(facts: Sequence[Fact]) -> Fact | None:
    """The last `unknown` after which nothing was said of that message."""
    last: dict[str | None, Fact] = {}
    for fact in facts:
        if fact.kind in {"unknown", "resolved_retry"} or fact.kind in ENDED_KINDS:
            last[fact.step_id] = fact
    return next((fact for fact in last.values() if fact.kind == "unknown"), None)


def standing(enrolled: Enrolled, course: Course, around: Surroundings) -> Standing:
    """Where it stands, and why nothing leaves right now."""
    if enrolled.status != "active":
        return end_of(enrolled)
    position = enrolled.position
    step = None if position is None else course.next_step(position)
    if course.status == "deleted":
        return Standing("deleted", "The sequence is deleted; nothing is sent any more.")
    unknown = enrolled.unknown
    if unknown is not None:
        return Standing("unknown", _unknown(unknown), step)
    if position is None:
        return Standing("due", "How this enrollment began is not known here; see since when events are known.")
    if step is None:
        return Standing("completed", "No step is left; the enrollment is about to be completed.")
    return _waiting(enrolled, course, around, step, position)


def _waiting(enrolled: Enrolled, course: Course, around: Surroundings, step: Step, position: Position) -> Standing:
    due_active = course.clock.at(position.since) + step.after
    if course.status != "active":
        since = "" if course.clock.paused_at is None else f" since {when(course.clock.paused_at)}"
        why = "" if course.reason is None else f": {course.reason}"
        return Standing("paused", f"The sequence is paused{since}{why}; nothing is sent until it is resumed.", step)
    due_at = due_active + course.clock.offset
    effective = course.effective(enrolled.version)
    definition = course.versions[effective or 0].definition
    leaves = max(due_at, around.now)
    leaves_at = leaves if definition.window is None else definition.window.next_open(leaves, around.timezone)
    withheld = enrolled.withheld(contact_version=around.contact_version, effective=effective)
    if withheld is not None:
        condition = str(withheld.detail.get("condition"))
        code = "opted_out" if condition == "opted_out" else "stop_condition"
        said = f"A stop condition ({condition}) held right before `{step.step_id}` was sent; it is kept back."
        return Standing(code, said, step, due_at, None)
    if due_at > around.now:
        moved = "" if leaves_at == due_at else f", and leaves when its window opens at {when(leaves_at)}"
        return Standing("not_yet_due", f"`{step.step_id}` is due at {when(due_at)}{moved}.", step, due_at, leaves_at)
    suspended = suspension_of(step, around.suspensions)
    if suspended is not None:
        why = "" if suspended.reason is None else f": {suspended.reason}"
        said = f"`{step.step_id}` is due, but {suspended.scope} is suspended since {when(suspended.at)}{why}."
        return Standing("suspended", said, step, due_at)
    if leaves_at > around.now:
        said = f"`{step.step_id}` was due at {when(due_at)}, outside its window, which opens at {when(leaves_at)}."
        return Standing("outside_window", said, step, due_at, leaves_at)
    said = f"`{step.step_id}` has been due since {when(due_at)} and leaves as soon as its turn comes."
    return Standing("due", said, step, due_at)


def suspension_of(step: Step, suspensions: Mapping[str, Suspension]) -> Suspension | None:
    """What holds back a step's messages: everything, its channel or its sender."""
    scopes = ["all", f"channel:{step.channel}", *([] if step.sender is None else [f"sender:{step.sender}"])]
    return next((suspensions[scope] for scope in scopes if scope in suspensions), None)


def end_of(enrolled: Enrolled) -> Standing:
    """Why nothing comes any more."""
    at = "" if enrolled.ended_at is None else f" at {when(enrolled.ended_at)}"
    match enrolled.status, enrolled.reason:
        case "completed", _:
            return Standing("completed", f"Every step is done; it was completed{at}.")
        case "removed", _:
            return Standing("removed", f"The contact was removed{at}; nothing is sent any more.")
        case "stopped", "opted_out":
            return Standing("opted_out", f"The contact opted out; the enrollment was stopped{at}.")
        case "stopped", reason:
            return Standing("stopped", f"A stop condition ended it{at}: {reason}.")
        case _:
            failed = next((fact for fact in reversed(enrolled.facts) if fact.kind == "undeliverable"), None)
            why = "" if failed is None else f" ({failed.detail.get('code')})"
            return Standing("failed", f"A message could not be delivered{why}; the enrollment ended{at}.")


def _unknown(fact: Fact) -> str:
    why = fact.detail.get("reason")
    return (
        f"The provider may or may not have `{fact.step_id}`, tried at {when(fact.at)} ({why}); "
        "a report, the step's policy or a person decides."
    )
