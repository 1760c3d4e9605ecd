"""Why a contact got a message, or did not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from console.domain.course import Course
from console.domain.fact import Fact
from console.domain.sentence import REFUSALS, cause, what, when
from console.domain.standing import Enrolled, Standing, Surroundings, end_of, standing

RESUMED: Final = {
    "shift": "who had to wait still has to wait as long",
    "send_now": "what became due meanwhile leaves now",
    "skip": "what became due meanwhile has expired",
}
"""By `overdue`."""
HOLDS_ALL: Final = frozenset({"paused", "suspended", "unknown", "opted_out", "stop_condition"})
"""What holds back the next step and so those after it."""


@dataclass(frozen=True, slots=True)
class Question:
    """All that is known of one contact in one sequence."""

    course: Course | None
    """None: no such sequence is known."""
    enrollments: Sequence[Enrolled]
    facts: Sequence[Fact]
    """Of the contact about this sequence or about all, in their order."""
    contact_known: bool
    deleted: bool = False
    """The sequence was."""


@dataclass(frozen=True, slots=True)
class Made:
    """One decision."""

    at: datetime
    what: str
    cause: str


def why(question: Question, step_id: str | None, around: Surroundings) -> Standing:
    """The answer in one sentence, and its code. The step, where one is named, must be one of some version."""
    if question.deleted or question.course is None:
        said = "This sequence was deleted, and what was known of it is erased." if question.deleted else ""
        return Standing("deleted" if said else "not_enrolled", said or "No sequence with this id is known.")
    newest = question.facts[-1] if question.facts else None
    enrolled = latest(question.enrollments)
    if enrolled is None:
        return _outside(question)
    if step_id is None:
        now = standing(enrolled, question.course, around)
        if newest is None or newest.kind != "refused":
            return now
        refused = _outside(question)
        return replace(now, code=refused.code, answer=f"{refused.answer} {now.answer}")
    return _of_step(enrolled, question.course, step_id, around)


def latest(enrollments: Sequence[Enrolled]) -> Enrolled | None:
    """The enrollment that a question is about: the one entered last."""
    known = [one for one in enrollments if one.enrolled_at is not None] or list(enrollments)
    return max(known, key=lambda one: (one.enrolled_at is not None, one.enrolled_at, one.enrollment_id), default=None)


def decisions(question: Question) -> list[Made]:
    """Every decision in its order: of the contact, and of the sequence while it was in it."""
    made = [Made(fact.at, what(fact), cause(fact)) for fact in question.facts]
    if question.course is not None:
        made += _of_sequence(question.course)
    return sorted(made, key=lambda one: one.at)


def _of_sequence(course: Course) -> list[Made]:
    made = [
        Made(one.published_at, f"version {number} was published", "a publish asked for it")
        for number, one in course.versions.items()
        if one.published_at is not None
    ]
    for pause in course.pauses:
        stretch, how = pause.stretch, RESUMED.get(pause.overdue or "", RESUMED["shift"])
        made.append(Made(stretch.paused_at, "the sequence was paused", pause.reason or "a pause asked for it"))
        made.append(Made(stretch.resumed_at, f"the sequence was resumed; {how}", "a resume asked for it"))
    if course.clock.paused_at is not None:
        made.append(Made(course.clock.paused_at, "the sequence was paused", course.reason or "a pause asked for it"))
    return made


def _outside(question: Question) -> Standing:
    """Why the contact is not in it, or was not let in again."""
    told = next((fact for fact in reversed(question.facts) if fact.kind in {"refused", "removed"}), None)
    if told is None:
        reason = "was never enrolled" if question.contact_known else "is not known"
        return Standing("not_enrolled", f"The contact {reason}; nothing is sent.")
    if told.kind == "removed":
        return Standing("removed", f"The contact was removed at {when(told.at)}, before it ever entered.")
    code, reason = REFUSALS.get(str(told.detail.get("code")), ("refused", str(told.detail.get("code"))))
    return Standing(code, f"The contact was not let in at {when(told.at)}: {reason}.")


def _of_step(enrolled: Enrolled, course: Course, step_id: str, around: Surroundings) -> Standing:
    told = [fact for fact in enrolled.facts if fact.step_id == step_id]
    outcome = _outcome(told)
    if outcome is not None:
        return outcome
    position = enrolled.position
    step = None if position is None else course.next_step(position)
    if enrolled.status == "active" and step is not None and step.step_id == step_id:
        return standing(enrolled, course, around)
    definition = course.versions.get(course.effective(enrolled.version) or 0)
    if definition is not None and step_id not in definition.definition.places:
        number = definition.definition.version
        return Standing("edited_away", f"`{step_id}` is not in version {number}, which this enrollment follows.")
    if enrolled.status != "active":
        if enrolled.status == "completed":
            said = f"The enrollment was completed without `{step_id}`: it was put before where the contact stood."
            return Standing("already_past", said)
        return end_of(enrolled)
    if definition is not None and step is not None:
        places = definition.definition.places
        if places[step_id] > places.get(step.step_id, -1):
            now = standing(enrolled, course, around)
            said = f"`{step_id}` comes after `{step.step_id}`, which comes first. {now.answer}"
            return Standing(now.code if now.code in HOLDS_ALL else "not_yet_due", said)
    return Standing("already_past", f"`{step_id}` was put before where the contact stood, so it never comes.")


def _outcome(told: Sequence[Fact]) -> Standing | None:
    """What became of a step's message, where something did."""
    kinds = {fact.kind: fact for fact in told}
    sent = kinds.get("sent") or kinds.get("resolved_sent")
    if sent is not None:
        reports = [kind for kind in ("delivered", "read", "bounced", "complained") if kind in kinds]
        later = f"; it was {' and '.join(reports)}" if reports else ""
        return Standing("sent", f"`{sent.step_id}` was sent at {when(sent.at)}{later}.")
    failed = kinds.get("failed") or kinds.get("resolved_failed")
    if failed is not None:
        code = failed.detail.get("code") or f"decided by {failed.detail.get('by')}"
        said = f"The provider refused `{failed.step_id}` for good at {when(failed.at)}: {code}."
        return Standing("refused_by_provider", said)
    expired = kinds.get("expired")
    if expired is not None:
        return Standing("expired", f"`{expired.step_id}` expired at {when(expired.at)}: {cause(expired)}.")
    last = next((fact for fact in reversed(told) if fact.kind in {"unknown", "resolved_retry"}), None)
    if last is not None and last.kind == "unknown":
        said = f"The provider may or may not have `{last.step_id}`, tried at {when(last.at)}."
        return Standing("unknown", said)
    return None
