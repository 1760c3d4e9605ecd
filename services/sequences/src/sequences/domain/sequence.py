"""What a sequence is, and how its state is written for others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from messaging import Cause, Refused
from sluice_contracts.sequences import (
    Admit,
    InFlight,
    Overdue,
    Receipts,
    SequenceDeleted,
    SequencePaused,
    SequencePublished,
    SequenceResumed,
    SequenceSaved,
    SequenceState,
    SequenceStopped,
)

Definition = Mapping[str, Any]
Event = TypeVar("Event", bound=SequenceState)


class TransitionRefused(Refused):
    """The state that the sequence is in does not allow it."""


class Status(StrEnum):
    """Where a sequence is in its life: `draft → active ⇄ paused → deleted`."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ResumeMode:
    """How a pause ends: what becomes of what fell due meanwhile, and of who was refused meanwhile."""

    overdue: Overdue = "shift"
    max_lateness: str | None = None
    admit: Admit = "none"


SHIFT: Final = ResumeMode()


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """A resume that waits for the receipts of the pause: who asked for it, and how it is to resume."""

    cause: Cause
    mode: ResumeMode = SHIFT


@dataclass(frozen=True, slots=True)
class ResumeTimer:
    """When a paused sequence resumes by itself, and who asked for that."""

    at: datetime
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One sequence. `published` is the definition of `version`, `draft` what was saved since."""

    sequence_id: str
    status: Status
    state_version: int
    epoch: int
    revision: int
    updated_at: datetime
    draft: Definition | None = None
    version: int | None = None
    published: Definition | None = None
    in_flight: InFlight = "follow"
    follow_version: int | None = None
    """The newest version that those inside follow."""
    reason: str | None = None
    paused_at: datetime | None = None
    resumed_at: datetime | None = None
    resumed_with: ResumeMode | None = None
    """How the last resume resumed; none since the next pause."""
    clock_offset: timedelta = timedelta()
    entry_closed_at: datetime | None = None
    halted_at: datetime | None = None
    dropped: int | None = None
    in_flight_sends: int | None = None
    resume_asked: ResumeAsked | None = None
    resume_timer: ResumeTimer | None = None
    deletion: Cause | None = None
    """Who asked for the deletion: what the erasure says later follows from it."""
    gone: bool = False
    """Erased everywhere: nothing but the id is left."""

    @property
    def receipts(self) -> Receipts | None:
        """The receipts of the present epoch's stop, once all are in."""
        if self.entry_closed_at is None or self.halted_at is None:
            return None
        return Receipts(
            entry_closed_at=self.entry_closed_at,
            halted_at=self.halted_at,
            dropped=self.dropped or 0,
            in_flight=self.in_flight_sends or 0,
        )


def known(sequence: Sequence | None) -> Sequence:
    """The sequence, or `not_found`."""
    if sequence is None:
        raise TransitionRefused("not_found", "there is no such sequence")
    return sequence


def deleted() -> TransitionRefused:
    """The refusal of whatever is asked of a deleted sequence."""
    return TransitionRefused("deleted", "the sequence is deleted")


def changed(sequence: Sequence, *, now: datetime) -> Sequence:
    """The same, as it stands in its next event: every event of a sequence has a `state_version` of its own."""
    return replace(sequence, state_version=sequence.state_version + 1, updated_at=now)


def state_of(event: type[Event], sequence: Sequence) -> Event:
    """The whole state of a sequence, as one of its events."""
    erased = sequence.status is Status.DELETED
    mode, timer = sequence.resumed_with, sequence.resume_timer
    return event(
        sequence_id=sequence.sequence_id,
        state_version=sequence.state_version,
        status=sequence.status.value,
        epoch=sequence.epoch,
        revision=sequence.revision,
        draft=None if erased or sequence.draft is None else dict(sequence.draft),
        version=sequence.version,
        published=None if erased or sequence.published is None else dict(sequence.published),
        in_flight=sequence.in_flight,
        follow_version=sequence.follow_version,
        reason=sequence.reason,
        paused_at=sequence.paused_at,
        resumed_at=sequence.resumed_at,
        clock_offset_seconds=sequence.clock_offset.total_seconds(),
        receipts=sequence.receipts,
        resume_at=None if timer is None else timer.at,
        overdue=None if mode is None else mode.overdue,
        max_lateness=None if mode is None else mode.max_lateness,
        admit=None if mode is None else mode.admit,
        updated_at=sequence.updated_at,
    )


def announced_again(sequence: Sequence) -> SequenceState:
    """The current state once more, as the event that says most about it; its `state_version` is the one it has."""
    match sequence.status:
        case Status.DRAFT:
            return state_of(SequenceSaved, sequence)
        case Status.ACTIVE if sequence.resumed_at is None:
            return state_of(SequencePublished, sequence)
        case Status.ACTIVE:
            return state_of(SequenceResumed, sequence)
        case Status.PAUSED if sequence.receipts is None:
            return state_of(SequencePaused, sequence)
        case Status.PAUSED:
            return state_of(SequenceStopped, sequence)
        case Status.DELETED:
            return state_of(SequenceDeleted, sequence)
