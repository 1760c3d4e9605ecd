"""How an enrollment gets into the queue, and how a row gets its next message planned."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from campaign.active_clock import Stretch
from campaign.definition import Definition
from campaign.plan import Finished, Planned, Position, plan
from sluice_contracts.enrollment import ContactEnrolled

from delivery.domain.gate import Gate


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
    clocks: Mapping[str, tuple[Stretch, ...]]
    definitions: Mapping[tuple[str, int], Definition]

    def newest(self, sequence_id: str) -> Definition | None:
        """The newest version's steps."""
        gate = self.gates.get(sequence_id)
        return None if gate is None or gate.version is None else self.definitions.get((sequence_id, gate.version))

    def active_at(self, sequence_id: str, moment: datetime) -> datetime:
        """The sequence's active clock at that moment; the gate must be known."""
        return self.gates[sequence_id].clock(self.clocks.get(sequence_id, ())).at(moment)

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
    """Plan the first message, in the newest version; later, where what the entry was decided on is not known yet."""
    heard = known.knows_of(enrolled.sequence_id, version=enrolled.version, at=enrolled.occurred_at)
    newest = known.newest(enrolled.sequence_id) if heard else None
    base = enrolled.occurred_at if newest is None else known.active_at(enrolled.sequence_id, enrolled.occurred_at)
    planned = None if newest is None else plan(Position(base), newest)
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


@dataclass(frozen=True, slots=True)
class Replanned:
    """What a row becomes."""

    row: Row
    base_active: datetime
    outcome: Planned | Finished


def replan(row: Row, known: Known) -> Replanned | None:
    """Plan a row in the newest version; None where that is not known."""
    newest = known.newest(row.sequence_id)
    if newest is None:
        return None
    never_planned = row.version is None
    base = known.active_at(row.sequence_id, row.base_active) if never_planned else row.base_active
    previous = None if row.version is None else known.definitions.get((row.sequence_id, row.version))
    return Replanned(row, base, plan(Position(base, row.step_id, row.ended), newest, previous=previous))
