"""The queue, the history and the books of `delivery`, and how a message ends."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sluice_contracts.base import parse_timestamp

from tests.histories.contact_view import ContactView
from tests.histories.reference import ActiveClock, Option, Window, after_end, follow, under
from tests.histories.sequences_model import SequenceModel
from tests.histories.suspensions_model import Suspensions
from tests.pump.world import Held

TIMES_MAX = 12
SLACK = timedelta(seconds=1)
UNKNOWN_WAIT = timedelta(seconds=600)
LEASE_SECONDS = 20.0


@dataclass
class Row:
    """One live enrollment's next message."""

    enrollment_id: str
    contact_id: str
    sequence_id: str
    entered: int
    contact_offset: int
    low: datetime
    high: datetime
    """What the delay counts from lies between these, on the active clock."""
    options: set[Option]
    ended: list[str] = field(default_factory=list)
    held: Held | None = None
    held_at: datetime | None = None
    held_since: float = 0.0
    """On the processes' clock, by which leases are counted."""
    attempted_at: datetime | None = None
    known: bool = False
    """Its contact, as they were enrolled, was known when it was claimed."""
    tried: bool = False
    """It keeps its version to the end of its step."""
    in_doubt: bool = False
    late: bool = False
    """It is to be tried again, nobody knows when."""
    spared: bool = False
    """An edit made it due before a mark that was not over it: it does not expire."""
    halted: bool = False
    condition: str | None = None
    """What would end its enrollment, by what was known when it was claimed."""
    looked_at: tuple[int | None, int] = (None, 0)
    """The contact's record and the version by which that was said."""
    withheld: bool = False
    """That was told, and nobody claims it until there is a newer record or version."""
    opens: datetime | None = None
    """On the active clock: it was outside its window, and waits for that."""
    unknown_since: datetime | None = None
    """On the active clock: its message may have arrived, and waits to be decided."""

    @property
    def waits(self) -> bool:
        """What the books call pending."""
        return self.held is None and self.unknown_since is None


class Owed(NamedTuple):
    """A removal's receipt that is to come."""

    removal_id: str
    enrollment_ids: frozenset[str]
    dropped: int
    erasing: int
    """So many of those are of deleted sequences: an erasure under way may have taken them before."""
    in_flight: int

    def is_given(self, data: dict[str, Any]) -> bool:
        """Whether this is that receipt."""
        return (
            (self.removal_id, self.enrollment_ids) == (data["removal_id"], frozenset(data["enrollment_ids"]))
            and self.dropped - self.erasing <= data["dropped"] <= self.dropped
            and data["in_flight"] == self.in_flight
        )


@dataclass(frozen=True)
class Mark:
    """What is due until then expires, and goes on from there; both on the active clock."""

    until: datetime
    base: datetime


@dataclass
class Gate:
    """What delivery has heard of a sequence."""

    state: dict[str, Any]
    clock: ActiveClock

    @property
    def open(self) -> bool:
        """Whether anything may be claimed."""
        return bool(self.state["status"] == "active")


@dataclass
class Books:
    """Counters that only the steps tell; the rest is counted from rows and history."""

    planned: int = 0
    dropped: int = 0


@dataclass
class DeliveryState:
    """The queue, the history, the books and the receipts."""

    sequences: dict[str, SequenceModel]
    monotonic: Callable[[], float]
    gates: dict[str, Gate] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    contacts: dict[str, ContactView] = field(default_factory=lambda: defaultdict(ContactView))
    rows: dict[str, Row] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    """Ends that were heard."""
    history: dict[tuple[str, str], str] = field(default_factory=dict)
    of_sequence: dict[str, str] = field(default_factory=dict)
    """By enrollment."""
    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Of messages, to be said: type, enrollment, step."""
    books: dict[str, Books] = field(default_factory=lambda: defaultdict(Books))
    arrivals: Counter[tuple[str, str]] = field(default_factory=Counter)
    message_ids: dict[tuple[str, str], str] = field(default_factory=dict)
    halts: dict[tuple[str, int], int] = field(default_factory=dict)
    """Receipts that sequences are owed: how many were in flight."""
    halted: dict[str, int] = field(default_factory=dict)
    """The newest epoch whose receipt was given."""
    removals: list[Owed] = field(default_factory=list)
    """Receipts that contacts are owed."""
    removed: set[str] = field(default_factory=set)
    """Removals that were heard."""
    gone_for: set[str] = field(default_factory=set)
    """Enrollments for which a removal's receipt was given."""
    notices: Counter[tuple[str, str, int | None, int]] = field(default_factory=Counter)
    """Conditions of which enrollment is to be told: enrollment, condition, versions of contact and sequence."""
    suspensions: Suspensions = field(default_factory=Suspensions)
    handled: set[str] = field(default_factory=set)
    """Commands."""
    reports: list[tuple[str, str]] = field(default_factory=list)
    """What providers have said: message and report, in their order."""
    announced: set[tuple[str, str]] = field(default_factory=set)
    """Those of them that everybody was told."""
    waits_for_windows: int = 0
    told: dict[str, int] = field(default_factory=dict)
    marks: dict[str, list[Mark]] = field(default_factory=lambda: defaultdict(list))
    retried: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages that may have arrived and were sent again on purpose."""

    def _marked_until(self, name: str) -> datetime | None:
        """What is due up to then expires."""
        return max((mark.until for mark in self.marks[name]), default=None)

    def _in_flight(self, name: str) -> int:
        return len([row for row in self._of(name) if row.held is not None])

    def _claimed_in(self, scope: str) -> list[Row]:
        """What senders hold of a scope."""
        return [row for row in self.rows.values() if row.held and scope in ("all", f"channel:{row.held.channel}")]

    def _of(self, name: str) -> list[Row]:
        return [row for row in self.rows.values() if row.sequence_id == name]

    def _closed(self, options: set[Option], ended: Sequence[str], sequence: SequenceModel, entered: int) -> set[Option]:
        """Those, and what following newer versions may have made of them, whichever of them were met."""
        found = set(options)
        for number in runs_under(sequence, entered):
            new = sequence.versions[number]
            found |= {follow(o, ended, sequence.versions.get(o.version), new) for o in found if o.version < number}
        return found

    def _step(self, row: Row, option: Option) -> Any:
        assert option.step is not None
        return self.sequences[row.sequence_id].versions[option.version].steps[option.step]

    def _due(self, row: Row, base: datetime, option: Option) -> datetime:
        """When it is due, on the active clock, or when its window opens where it was outside."""
        due: datetime = base + self._step(row, option).after
        return due if row.opens is None else max(due, row.opens)

    def _window(self, row: Row) -> Window | None:
        """The one of the version that was looked at."""
        return self.sequences[row.sequence_id].versions[row.looked_at[1]].window

    def _spared(self, row: Row) -> bool:
        """Whether no mark is over it, under one of the plans that it may have had when the mark was made."""
        until = self._marked_until(row.sequence_id)
        if until is None or row.spared:
            return True
        dues = [self._due(row, row.high, option) for option in row.options if option.step is not None]
        return not dues or max(dues) > until

    def _pin(self, row: Row, option: Option) -> None:
        """So it is planned. Where a mark is over it that may not have been over its plan of then, it is spared."""
        was_spared = self._spared(row)
        row.options = {option}
        row.spared = row.spared or (was_spared and not self._spared(row))

    def _may_be_over(self, row: Row) -> bool:
        """Whether a mark is over it, under one of the plans that it may have had."""
        until = self._marked_until(row.sequence_id)
        return until is not None and any(self._due(row, row.low, o) <= until for o in row.options if o.step is not None)

    def _look(self, row: Row, channel: str) -> None:
        """What is known of the contact and of the version that the enrollment is under, right before a send."""
        contact = self.contacts[row.contact_id]
        version = under(row.entered, self.gates[row.sequence_id].state)
        row.looked_at = (contact.offset, version)
        opted_out = contact.opted_out or contact.channels & {"*", channel}
        rules = self.sequences[row.sequence_id].versions[version].rules
        row.condition = "opted_out" if opted_out else rules.stops(contact.attributes)

    def _is_over(self, row: Row) -> bool:
        """Whether its lease is."""
        return self.monotonic() - row.held_since > LEASE_SECONDS

    def _ends(self, row: Row, step: str, outcome: str) -> None:
        assert (row.enrollment_id, step) not in self.history, f"{step} of {row.enrollment_id} ended twice"
        self.history[row.enrollment_id, step] = outcome
        self.events[f"Message{outcome.title()}", row.enrollment_id, step] += 1

    def _drop(self, row: Row, in_doubt: bool) -> None:
        """Nothing follows; what may have arrived is unknown."""
        del self.rows[row.enrollment_id]
        if in_doubt:
            option = next(iter(row.options))
            assert option.step is not None
            self._ends(row, option.step, "unknown")
        else:
            self.books[row.sequence_id].dropped += 1

    def _doubt(self, row: Row, step: str, now: datetime) -> None:
        """It may have arrived: who lives waits until that is decided."""
        self._ends(row, step, "unknown")
        if row.halted:
            del self.rows[row.enrollment_id]
        else:
            row.unknown_since = self.gates[row.sequence_id].clock.at(now)
            row.in_doubt = True

    def _goes_on(
        self, row: Row, step: str, now: datetime | None, *, bases: tuple[datetime, datetime] | None = None
    ) -> None:
        sequence = self.sequences[row.sequence_id]
        if row.halted:
            del self.rows[row.enrollment_id]
            return
        (option,) = row.options
        old = sequence.versions[option.version]
        row.ended.append(step)
        newer = [
            sequence.versions[n] for n in {option.version, *runs_under(sequence, row.entered)} if n >= option.version
        ]
        made = {after_end(step, row.ended, old, version) for version in newer}
        row.options = self._closed(made, row.ended, sequence, row.entered)
        gate = self.gates[row.sequence_id]
        if now is None:
            assert bases is not None
            row.low, row.high = bases
        else:
            row.high = gate.clock.at(now)
            row.low = min(row.high, gate.clock.at(row.attempted_at or row.held_at or now))
        row.tried = row.in_doubt = row.late = row.spared = row.withheld = False
        row.opens = None
        self.books[row.sequence_id].planned += 1  # where nothing is left, `StepsFinished` takes it back


def runs_under(sequence: SequenceModel, entered: int) -> list[int]:
    """The versions that who entered that one may run under, the last of them in the end."""
    return [entered, *[number for number in sequence.followed if number > entered]]


def clock_of(clock: ActiveClock, state: dict[str, Any]) -> ActiveClock:
    """The sequence's clock as a state of it tells: the pauses up to then."""
    paused = parse_timestamp(state["paused_at"]) if state["status"] == "paused" else None
    until = parse_timestamp(state["updated_at"])
    return ActiveClock([pause for pause in clock.pauses if pause[1] <= until], paused)
