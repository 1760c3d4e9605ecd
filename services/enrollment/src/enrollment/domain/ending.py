"""How an enrollment ends, and what ends with it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from messaging import Decision
from sluice_contracts.enrollment import (
    ContactRemoved,
    EnrollmentCompleted,
    EnrollmentFailed,
    EnrollmentStopped,
    StopReason,
)

from enrollment.domain.block import Block, campaign_scope, sequence_scope
from enrollment.domain.sequence import Sequence


class Ended(StrEnum):
    """The ways to end."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Live:
    """An enrollment that is active, with its sequence's campaign."""

    enrollment_id: str
    contact_id: str
    sequence_id: str
    version: int
    contact_offset: int
    campaign: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """One enrollment's end, as it is stored."""

    enrollment: Live
    status: Ended
    ended_at: datetime
    reason: StopReason | None = None
    allow_reentry: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """What to halt for a contact: one sequence, one campaign, or (with neither) everything."""

    removal_id: str
    contact_id: str
    sequence_id: str | None = None
    campaign: str | None = None
    allow_reentry: bool = False

    def covers(self, sequence_id: str, campaign: str | None) -> bool:
        """Whether an enrollment in that sequence is in the removal's scope."""
        if self.sequence_id is not None:
            return self.sequence_id == sequence_id
        return self.campaign is None or self.campaign == campaign

    def refuses(self, sequence_id: str, sequence: Sequence | None) -> bool:
        """Whether an enroll that waits for entry is refused: a sequence not known yet may be of the campaign."""
        if self.campaign is not None and (sequence is None or sequence.version is None):
            return True
        return self.covers(sequence_id, sequence.campaign if sequence is not None else None)


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal ended, and what it blocks from now on."""

    ends: tuple[End, ...]
    blocks: tuple[Block, ...]


def complete(enrollment: Live | None, *, now: datetime) -> Decision[End]:
    """Every step is done; what has ended already stays as it is."""
    if enrollment is None:
        return Decision()
    said = EnrollmentCompleted(
        enrollment_id=enrollment.enrollment_id,
        contact_id=enrollment.contact_id,
        sequence_id=enrollment.sequence_id,
        version=enrollment.version,
        occurred_at=now,
    )
    return Decision(End(enrollment, Ended.COMPLETED, now), (said,))


def fail(enrollment: Live | None, *, step_id: str, code: str, detail: str, now: datetime) -> Decision[End]:
    """A message was refused for good; what has ended already stays as it is."""
    if enrollment is None:
        return Decision()
    said = EnrollmentFailed(
        enrollment_id=enrollment.enrollment_id,
        contact_id=enrollment.contact_id,
        sequence_id=enrollment.sequence_id,
        version=enrollment.version,
        occurred_at=now,
        step_id=step_id,
        code=code,
        detail=detail,
    )
    return Decision(End(enrollment, Ended.FAILED, now), (said,))


def stop(live: Iterable[Live], *, reason: StopReason, now: datetime) -> Decision[tuple[End, ...]]:
    """A condition ends every one of these enrollments of a contact."""
    ends = tuple(End(enrollment, Ended.STOPPED, now, reason) for enrollment in live)
    said = tuple(
        EnrollmentStopped(
            enrollment_id=end.enrollment.enrollment_id,
            contact_id=end.enrollment.contact_id,
            sequence_id=end.enrollment.sequence_id,
            version=end.enrollment.version,
            occurred_at=now,
            reason=reason,
        )
        for end in ends
    )
    return Decision(ends, said)


def remove(removal: Removal, live: Iterable[Live], *, deleted: Collection[str], now: datetime) -> Decision[Removed]:
    """End what lives in the scope, block it unless re-entry is allowed, and say so, once, also where nothing lived.

    "Everywhere" blocks only what it ended. A deleted sequence needs no block and gets none.
    """
    ends = tuple(
        End(enrollment, Ended.REMOVED, now, allow_reentry=removal.allow_reentry)
        for enrollment in live
        if removal.covers(enrollment.sequence_id, enrollment.campaign)
    )
    removed = [end.enrollment.enrollment_id for end in ends]
    said = ContactRemoved(
        removal_id=removal.removal_id,
        contact_id=removal.contact_id,
        sequence_id=removal.sequence_id,
        campaign=removal.campaign,
        enrollment_ids=removed,
        allow_reentry=removal.allow_reentry,
        occurred_at=now,
    )
    blocks = tuple(Block(removal.contact_id, scope) for scope in _blocked(removal, ends, deleted))
    return Decision(Removed(ends, blocks), (said,), {"removal_id": removal.removal_id, "removed": removed})


def _blocked(removal: Removal, ends: tuple[End, ...], deleted: Collection[str]) -> list[str]:
    if removal.allow_reentry:
        return []
    if removal.campaign is not None:
        return [campaign_scope(removal.campaign)]
    sequences = {removal.sequence_id} if removal.sequence_id else {end.enrollment.sequence_id for end in ends}
    return [sequence_scope(sequence_id) for sequence_id in sorted(sequences - set(deleted))]
