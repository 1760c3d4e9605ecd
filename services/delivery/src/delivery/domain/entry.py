"""How an enrollment gets into the queue, and how a row gets its next message planned."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter

from campaign.definition import Definition
from campaign.overdue import TICK, Mark
from campaign.plan import Finished, Planned, Position, plan
from sluice_contracts.enrollment import ContactEnrolled

from delivery.domain.gate import Gate, Pause


@dataclass(frozen=True, slots=True)
class Entry:
    """One enrollment, as it is put into the queue; without a plan where the sequence is not known yet."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    entered_version: int
    base_active: datetime
    """On the active clock where it is planned, else the plain clock's moment of entry."""
    contact_offset: int
    """Of the contact's record that it was decided on: nothing is sent to an older one."""
    planned: Planned | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of some sequences: gates, past pauses and definitions."""

    gates: Mapping[str, Gate]
    pauses: Mapping[str, tuple[Pause, ...]]
    """Those that are over, by when they began."""
    definitions: Mapping[tuple[str, int], Definition]

    def effective(self, sequence_id: str, entered_version: int) -> Definition | None:
        """The version that an enrollment runs under; None where it is not known here."""
        gate = self.gates.get(sequence_id)
        version = None if gate is None else gate.effective(entered_version)
        return None if version is None else self.definitions.get((sequence_id, version))

    def active_at(self, sequence_id: str, moment: datetime) -> datetime:
        """The sequence's active clock at that moment; the gate must be known."""
        return self.gates[sequence_id].clock(self.pauses.get(sequence_id, ())).at(moment)

    def mark_over(self, sequence_id: str, due_active: datetime) -> Mark | None:
        """What let a message expire that was due then: the first resume whose mark is not before that."""
        marks = [pause.mark for pause in self.pauses.get(sequence_id, ()) if pause.mark is not None]
        return min((mark for mark in marks if due_active <= mark.until), key=attrgetter("base"), default=None)

    def knows_of(self, sequence_id: str, *, version: int, at: datetime) -> bool:
        """Whether the gate is as new as an entry into this version at that moment.

        Topics are not ordered among each other. Nobody enters while a sequence is paused: who has entered later was let
        in after a resume that has not been heard here yet, and the clock would still stand for them.
        """
        gate = self.gates.get(sequence_id)
        if gate is None or gate.version is None or gate.version < version:
            return False
        return gate.paused_at is None or at <= gate.paused_at


def enter(enrolled: ContactEnrolled, known: Known) -> Entry:
    """Plan the first message, in the version that it runs under; later, where what that depends on is not known yet."""
    heard = known.knows_of(enrolled.sequence_id, version=enrolled.version, at=enrolled.occurred_at)
    version = known.effective(enrolled.sequence_id, enrolled.version) if heard else None
    if (enrolled.sequence_id, enrolled.version) not in known.definitions:
        version = None
    base = enrolled.occurred_at if version is None else known.active_at(enrolled.sequence_id, enrolled.occurred_at)
    planned = None if version is None else _begin(enrolled.sequence_id, enrolled.version, base, version, known)
    assert not isinstance(planned, Finished), "a published definition has a step"
    return Entry(
        enrollment_id=enrolled.enrollment_id,
        sequence_id=enrolled.sequence_id,
        contact_id=enrolled.contact_id,
        entered_version=enrolled.version,
        base_active=base,
        contact_offset=enrolled.contact_offset,
        planned=planned,
    )


def _begin(
    sequence_id: str, entered_version: int, base: datetime, version: Definition, known: Known
) -> Planned | Finished:
    """Who enters waits for the first step of that version: what an edit puts before it since never fires for them."""
    entered = known.definitions[sequence_id, entered_version]
    return plan(Position(base, entered.steps[0].step_id), version, previous=entered)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the queue that nobody has claimed, to be planned (again)."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    entered_version: int
    version: int | None
    step_id: str | None
    base_active: datetime
    ended: tuple[str, ...]
    due_active: datetime | None = None
    """Of the message that it waits for; None where that was never planned."""
    due_own: datetime | None = None
    """What that was planned for, where it was tried or held since."""
    attempt: int = 0
    lane: str | None = None
    """Of that message: it may have been taken out of it."""


@dataclass(frozen=True, slots=True)
class Replanned:
    """What a row becomes."""

    row: Row
    base_active: datetime
    outcome: Planned | Finished


def replan(row: Row, known: Known) -> Replanned | None:
    """Plan a row in the version that it runs under; None where that is not known.

    A message that was tried before keeps its version and channel: it is only due again.
    """
    version = known.effective(row.sequence_id, row.entered_version)
    if version is None:
        return None
    never_planned = row.version is None
    base = known.active_at(row.sequence_id, row.base_active) if never_planned else row.base_active
    if row.attempt and row.lane is not None and row.step_id is not None and row.version is not None:
        due = row.due_own or row.due_active or base
        return _replanned(row, base, Planned(row.step_id, row.lane, due, row.version), known)
    if never_planned and not row.ended:
        return _replanned(row, base, _begin(row.sequence_id, row.entered_version, base, version, known), known)
    previous = None if row.version is None else known.definitions.get((row.sequence_id, row.version))
    return _replanned(row, base, plan(Position(base, row.step_id, row.ended), version, previous=previous), known)


def _replanned(row: Row, base: datetime, outcome: Planned | Finished, known: Known) -> Replanned:
    return Replanned(row, base, _beyond_mark(row, outcome, known.gates[row.sequence_id].expire_until))


def _beyond_mark(row: Row, outcome: Planned | Finished, mark: datetime | None) -> Planned | Finished:
    """What was not due at the resume does not expire because an edit has made it due before that: it is due now."""
    if mark is None or isinstance(outcome, Finished) or row.due_active is None or row.due_active <= mark:
        return outcome
    return replace(outcome, due_active=max(outcome.due_active, mark + TICK))
