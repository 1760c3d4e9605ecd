"""What `delivery` may send and must have sent, what it books, and what its receipts must say."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sluice_contracts.base import parse_timestamp

from tests.histories.enrollment_model import ContactView
from tests.histories.reference import ActiveClock, Option, Version, after_end, delay, first, follow
from tests.histories.sequences_model import SequenceModel
from tests.pump.senders import Attempt
from tests.pump.topics import Record
from tests.pump.world import Held

TIMES_MAX = 12
SLACK = timedelta(seconds=1)
UNKNOWN_WAIT = timedelta(seconds=600)
LEASE_SECONDS = 20.0
STALENESS = timedelta(seconds=5)


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
    unknown_since: datetime | None = None
    """On the active clock: its message may have arrived, and waits to be decided."""

    @property
    def waits(self) -> bool:
        """What the books call pending."""
        return self.held is None and self.unknown_since is None


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
class DeliveryModel:
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
    removals: list[tuple[str, frozenset[str], int, int]] = field(default_factory=list)
    """Receipts that contacts are owed: contact, enrollments, dropped, in flight."""
    removed: set[str] = field(default_factory=set)
    """Removals that were heard."""
    gone_for: set[str] = field(default_factory=set)
    """Enrollments for which a removal's receipt was given."""
    told: dict[str, int] = field(default_factory=dict)
    marks: dict[str, list[Mark]] = field(default_factory=lambda: defaultdict(list))
    retried: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages that may have arrived and were sent again on purpose."""

    # -- what it hears

    def hear(self, record: Record) -> None:
        """Take a record in."""
        data, kind = record.data, record.type
        if record.topic == "sequences.events":
            self._sequence(record.name, data)
        elif record.topic == "contacts.events":
            self.contacts[record.name].hear(record)
        elif kind == "ContactEnrolled":
            self._enter(data)
        elif kind == "ContactRemoved":
            self._remove(data)
        elif kind == "EnrollmentStopped":
            self._end([data["enrollment_id"]])

    def _sequence(self, name: str, state: dict[str, Any]) -> None:
        if name in self.deleted:
            return
        known = self.gates.get(name)
        if state and known is not None and known.state["state_version"] >= state["state_version"]:
            return
        if not state or state["status"] == "deleted":
            self.deleted.add(name)
            if state:
                self.halts[name, state["epoch"]] = self._in_flight(name)
            self._close(name, state or (known.state if known else {}))
            return
        clock = self.sequences[name].clock
        if known is not None and known.state["status"] == "paused" and state["status"] == "active":
            again = len([row for row in self._of(name) if row.waits])
            self.books[name].planned += again
            self.books[name].dropped += again
        new_epoch = known is None or known.state["epoch"] < state["epoch"]
        if state["status"] == "paused" and new_epoch and "receipts" not in state:
            self.halts[name, state["epoch"]] = self._in_flight(name)
        self.gates[name] = Gate(state, _clock_of(clock, state))
        self._mark(name, state)

    def _mark(self, name: str, state: dict[str, Any]) -> None:
        """A resume that skips, or sends only what is not too late, leaves a mark."""
        overdue, bound = state.get("overdue"), state.get("max_lateness")
        if state["status"] != "active" or not (overdue == "skip" or bound):
            return
        base = self.gates[name].clock.at(parse_timestamp(state["resumed_at"]))
        until = base - delay(bound) if bound else base
        if any(mark.base == base for mark in self.marks[name]):
            return
        self.marks[name].append(Mark(until, base))
        for row in self._of(name):
            row.spared = False

    def _marked_until(self, name: str) -> datetime | None:
        """What is due up to then expires."""
        return max((mark.until for mark in self.marks[name]), default=None)

    def _close(self, name: str, state: dict[str, Any]) -> None:
        clock = self.gates[name].clock if name in self.gates else ActiveClock()
        self.gates[name] = Gate({**state, "status": "deleted"}, clock)

    def _in_flight(self, name: str) -> int:
        return len([row for row in self._of(name) if row.held is not None])

    def _of(self, name: str) -> list[Row]:
        return [row for row in self.rows.values() if row.sequence_id == name]

    def _enter(self, data: dict[str, Any]) -> None:
        enrollment_id, name = data["enrollment_id"], data["sequence_id"]
        if enrollment_id in self.entered:
            return
        self.entered.add(enrollment_id)
        self.of_sequence[enrollment_id] = name
        if enrollment_id in self.ended or name in self.deleted:
            return
        sequence = self.sequences[name]
        base = sequence.clock.at(parse_timestamp(data["occurred_at"]))
        self.rows[enrollment_id] = Row(
            enrollment_id=enrollment_id,
            contact_id=data["contact_id"],
            sequence_id=name,
            entered=data["version"],
            contact_offset=data["contact_offset"],
            low=base,
            high=base,
            options=self._closed({first(sequence.versions[data["version"]])}, (), sequence, data["version"]),
        )
        self.books[name].planned += 1

    def _closed(self, options: set[Option], ended: Sequence[str], sequence: SequenceModel, entered: int) -> set[Option]:
        """Those, and what following newer versions may have made of them, whichever of them were met."""
        found = set(options)
        for number in _for(sequence, entered):
            new = sequence.versions[number]
            found |= {follow(o, ended, sequence.versions.get(o.version), new) for o in found if o.version < number}
        return found

    def publish(self, name: str, version: Version) -> None:
        """A version is new: rows follow it, sooner or later."""
        for row in self._of(name):
            if not row.tried and row.waits and version.number > row.entered:
                old = self.sequences[name].versions
                row.spared = self._spared(row)
                row.options |= {follow(o, row.ended, old.get(o.version), version) for o in row.options}

    def _remove(self, data: dict[str, Any]) -> None:
        if data["removal_id"] in self.removed:
            return
        self.removed.add(data["removal_id"])
        named = frozenset(data["enrollment_ids"])
        halted = {
            row.enrollment_id
            for row in self.rows.values()
            if row.halted and row.contact_id == data["contact_id"] and self._in_scope(row, data)
        }
        rows = [self.rows[one] for one in named | halted if one in self.rows]
        dropped = len([row for row in rows if row.waits and not row.in_doubt])
        in_flight = len([row for row in rows if row.held is not None])
        self.removals.append((data["removal_id"], named | halted, dropped, in_flight))
        self._end(named)

    def _in_scope(self, row: Row, data: dict[str, Any]) -> bool:
        if data.get("sequence_id") is not None:
            return bool(row.sequence_id == data["sequence_id"])
        gate = self.gates.get(row.sequence_id)
        published = (gate.state.get("published") or {}) if gate else {}
        return data.get("campaign") is None or published.get("campaign") == data["campaign"]

    def _end(self, enrollment_ids: Iterable[str]) -> None:
        for one in enrollment_ids:
            self.ended.add(one)
            row = self.rows.get(one)
            if row is not None and row.unknown_since is not None:
                del self.rows[one]
            elif row is not None and row.held is None:
                self._drop(row, row.in_doubt)
            elif row is not None:
                row.halted = True

    def _drop(self, row: Row, in_doubt: bool) -> None:
        """Nothing follows; what may have arrived is unknown."""
        del self.rows[row.enrollment_id]
        if in_doubt:
            option = next(iter(row.options))
            assert option.step is not None
            self._ends(row, option.step, "unknown")
        else:
            self.books[row.sequence_id].dropped += 1

    # -- what senders do

    def claim(self, held: Held, now: datetime) -> None:
        """A sender has it now: it must be due, in an open gate, of somebody who lives, and nobody else's."""
        row = self.rows.get(held.enrollment_id)
        assert row is not None, f"{held} is claimed and not in the queue"
        assert row.held is None, f"{held} is claimed twice"
        gate = self.gates[row.sequence_id]
        assert gate.open, f"{held} is claimed behind a closed gate"
        assert held.epoch == gate.state["epoch"]
        option = Option(held.step_id, held.version)
        assert option in row.options, f"{held} is claimed, should be one of {row.options}"
        due = row.low + self._step(row, option).after
        active = gate.clock.at(now)
        assert row.late or self._spared(row), f"{held} is claimed, should expire: {self.marks[row.sequence_id]}"
        assert row.unknown_since is None, f"{held} is claimed, and nobody has decided whether it has arrived"
        assert due <= active, f"{held} is claimed at {active}, before it is due at {due}"
        row.held, row.held_at, row.held_since, row.attempted_at = held, now, self.monotonic(), None
        row.options = {option}
        view = self.contacts[row.contact_id]
        gone = -1 if view.gone_offset is None else view.gone_offset
        row.known = view.offset is not None and view.offset >= row.contact_offset > gone

    def begin(self, held: Held, attempt: Attempt) -> None:
        """The first byte has left: no receipt may stand against it."""
        row = self.rows.get(held.enrollment_id)
        assert row is not None
        assert row.held == held, f"{held} is sent by who does not hold it: {row.held}"
        assert held.epoch > self.halted.get(row.sequence_id, -1), f"{held} is sent after the receipt of its sequence"
        assert row.enrollment_id not in self.gone_for, f"{held} is sent after the receipt of a removal"
        assert row.known, f"{held} is sent to a contact who was not known, or was gone, when it was claimed"
        step = self._step(row, Option(held.step_id, held.version))
        content: Any = attempt.message.content
        text = getattr(content, "text", None) or content.body.decode()
        assert step.text in text, f"{held} says {text!r}, should say {step.text!r}"
        assert held.step_id not in row.ended, f"{held} was sent before"
        message = (row.enrollment_id, held.step_id)
        assert self.message_ids.setdefault(message, attempt.message.message_id) == attempt.message.message_id
        row.attempted_at = attempt.at

    def end(self, held: Held, attempt: Attempt, *, arrived: bool) -> None:
        """A call has ended: a sink that goes by the key has each message once, any other too."""
        message = (held.enrollment_id, held.step_id)
        if arrived:
            self.arrivals[message] += 1
            allowed = 1 + self.retried[message]
            assert attempt.idempotent or self.arrivals[message] <= allowed, f"{held} has arrived too often"

    def _step(self, row: Row, option: Option) -> Any:
        assert option.step is not None
        return self.sequences[row.sequence_id].versions[option.version].steps[option.step]

    # -- what is booked

    def book(self, enrollment_id: str, token: int, ending: str, now: datetime, *, in_doubt: bool) -> None:
        """What became of a claim; one that is not the row's any more changes nothing."""
        row = self.rows.get(enrollment_id)
        if row is None or row.held is None or row.held.token != token:
            return
        held, row.held = row.held, None
        match ending:
            case "sent":
                self._ends(row, held.step_id, "sent")
                self._goes_on(row, held.step_id, now)
            case "unknown":
                self._doubt(row, held.step_id, now)
            case "failed":
                del self.rows[enrollment_id]
                self._ends(row, held.step_id, "failed")
            case _ if row.halted:
                self._drop(row, row.in_doubt or in_doubt)
                self.history.setdefault((enrollment_id, held.step_id), "dropped")
            case "retry":
                row.tried = row.late = True
                row.in_doubt |= in_doubt
            case "released" | "postponed":
                row.late = ending == "postponed"
                if not row.tried:
                    row.options = self._closed(row.options, row.ended, self.sequences[row.sequence_id], row.entered)
            case _:
                raise AssertionError(ending)

    def lapse(self, token: int, now: datetime) -> None:
        """A claim's lease is over: a message that may be repeated is, any other is unknown."""
        for row in [row for row in self.rows.values() if row.held is not None and row.held.token == token]:
            held, row.held = row.held, None
            assert held is not None
            assert self._is_over(row), f"{held} lapsed too early"
            if held.channel == "webhook" and not row.halted and held.attempt < TIMES_MAX:
                row.tried = row.in_doubt = True
            else:
                self._doubt(row, held.step_id, now)

    def _is_over(self, row: Row) -> bool:
        """Whether its lease is."""
        return self.monotonic() - row.held_since > LEASE_SECONDS

    def give_back(self, tokens: Collection[int], kept: Collection[str]) -> None:
        """A claim whose answer was lost is as if it had not been made, once its sender has given it back."""
        for row in list(self.rows.values()):
            if row.held is not None and row.held.token in tokens and row.enrollment_id not in kept:
                self.book(row.enrollment_id, row.held.token, "released", row.held_at or row.low, in_doubt=False)

    def _doubt(self, row: Row, step: str, now: datetime) -> None:
        """It may have arrived: who lives waits until that is decided."""
        self._ends(row, step, "unknown")
        if row.halted:
            del self.rows[row.enrollment_id]
        else:
            row.unknown_since = self.gates[row.sequence_id].clock.at(now)
            row.in_doubt = True

    def _spared(self, row: Row) -> bool:
        """Whether no mark is over it, under one of the plans that it may have had when the mark was made."""
        until = self._marked_until(row.sequence_id)
        if until is None or row.spared:
            return True
        dues = [row.high + self._step(row, option).after for option in row.options if option.step is not None]
        return not dues or max(dues) > until

    def _resolved(self, data: dict[str, Any], now: datetime) -> None:
        """It was decided: it counts as sent, or it is sent again under its id."""
        message = (data["enrollment_id"], data["step_id"])
        outcome = data["outcome"]
        assert self.history.get(message) == "unknown", f"{data} decides what is {self.history.get(message)}"
        row = self.rows.get(data["enrollment_id"])
        if row is not None and row.unknown_since is None:
            row = None
        if data["by"] == "policy":
            assert row is not None
            assert row.unknown_since is not None
            (option,) = row.options
            policy = self._step(row, option).on_unknown
            assert outcome == ("retry" if policy == "retry" else "sent"), f"{data}, the policy is {policy}"
            gate = self.gates[row.sequence_id]
            assert gate.open
            assert gate.clock.at(now) >= row.unknown_since + UNKNOWN_WAIT - SLACK, f"{data} is too early"
        if outcome == "retry":
            assert row is not None
            del self.history[message]
            row.unknown_since = None
            row.tried = row.late = True
            self.retried[message] += 1
            return
        self.history[message] = outcome
        if row is not None:
            row.unknown_since = None
            row.attempted_at = now
            self._goes_on(row, data["step_id"], now)

    def _expired(self, data: dict[str, Any]) -> None:
        """It was due before a resume that passes over it; the next step counts from there."""
        row = self.rows.get(data["enrollment_id"])
        assert row is not None, f"{data} of who is not in the queue"
        step = data["step_id"]
        assert row.waits
        dues = [row.low + self._step(row, o).after for o in row.options if o.step == step]
        over = [mark for mark in self.marks[row.sequence_id] if row.late or any(due <= mark.until for due in dues)]
        assert over, f"{data} is due at {dues}, marks are {self.marks[row.sequence_id]}"
        (version,) = {o.version for o in row.options if o.step == step and o.version == data["version"]}
        row.options = {Option(step, version)}
        self.history[row.enrollment_id, step] = "expired"
        bases = sorted(mark.base + timedelta(microseconds=1) for mark in over)
        # It has expired at the first resume that passes over it, whenever that is found.
        self._goes_on(row, step, None, bases=(bases[0], bases[-1] if row.late else bases[0]))

    def _expired_in_doubt(self, data: dict[str, Any], now: datetime) -> None:
        """What a mark is over, or an erasure, and may have arrived is not gone without a word: it is unknown."""
        row = self.rows.get(data["enrollment_id"])
        assert row is not None, f"{data} of who is not in the queue"
        assert row.waits, f"{data} without reason"
        assert row.in_doubt, f"{data} without reason"
        assert self.marks[row.sequence_id] or row.sequence_id in self.deleted, f"{data} without reason"
        self._doubt(row, data["step_id"], now)

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
        newer = [sequence.versions[n] for n in {option.version, *_for(sequence, row.entered)} if n >= option.version]
        made = {after_end(step, row.ended, old, version) for version in newer}
        row.options = self._closed(made, row.ended, sequence, row.entered)
        gate = self.gates[row.sequence_id]
        if now is None:
            assert bases is not None
            row.low, row.high = bases
        else:
            row.high = gate.clock.at(now)
            row.low = min(row.high, gate.clock.at(row.attempted_at or row.held_at or now))
        row.tried = row.in_doubt = row.late = row.spared = False
        self.books[row.sequence_id].planned += 1  # where nothing is left, `StepsFinished` takes it back

    def _ends(self, row: Row, step: str, outcome: str) -> None:
        assert (row.enrollment_id, step) not in self.history, f"{step} of {row.enrollment_id} ended twice"
        self.history[row.enrollment_id, step] = outcome
        self.events[f"Message{outcome.title()}", row.enrollment_id, step] += 1

    # -- what it says

    def said(self, record: Record, now: datetime) -> None:
        """Check what it says."""
        kind, data = record.type, record.data
        if kind in ("MessageSent", "MessageFailed", "MessageUnknown"):
            if kind == "MessageUnknown" and not self.events[kind, data["enrollment_id"], data["step_id"]]:
                self._expired_in_doubt(data, now)
            self.events[kind, data["enrollment_id"], data["step_id"]] -= 1
            assert self.events[kind, data["enrollment_id"], data["step_id"]] >= 0, f"said without reason: {record}"
        elif kind == "MessageResolved":
            self._resolved(data, now)
        elif kind == "MessageExpired":
            self._expired(data)
        elif kind == "StepsFinished":
            row = self.rows.pop(data["enrollment_id"], None)
            if row is None and data["sequence_id"] in self.deleted:
                return  # the last message was on its way when its sequence was deleted; nobody minds
            assert row is not None, f"{data} is said of who is not in the queue"
            assert any(o.step is None for o in row.options), f"{data}, but there are {row.options}"
            self.books[row.sequence_id].planned -= 1
        elif kind == "SequenceHalted":
            self._sequence_halted(data, now)
        elif kind == "ContactHalted":
            self._contact_halted(data, now)
        elif kind == "SequenceErased":
            for row in self._of(data["sequence_id"]):
                del self.rows[row.enrollment_id]
        elif kind == "MessagesCounted":
            self._counted(data)
        else:
            known = ("ContactErased", "CommandAccepted", "CommandRejected", "")
            assert kind in known, f"delivery said {record}"

    def _sequence_halted(self, data: dict[str, Any], now: datetime) -> None:
        name, epoch = data["sequence_id"], data["epoch"]
        in_flight = self.halts.pop((name, epoch), None)
        assert in_flight is not None, f"{data} is not owed"
        assert data["in_flight"] == in_flight, f"{data}, in flight were {in_flight}"
        waiting = [row for row in self._of(name) if row.waits]
        assert data["dropped"] == len(waiting), f"{data}, waiting are {len(waiting)}"
        for row in self._of(name):
            if row.held is not None and row.held.epoch < epoch:
                assert self._is_over(row), f"{data} while {row.held} is open"
        self.halted[name] = max(self.halted.get(name, -1), epoch - 1)

    def _contact_halted(self, data: dict[str, Any], now: datetime) -> None:
        ids = frozenset(data["enrollment_ids"])
        owed = (data["removal_id"], ids, data["dropped"], data["in_flight"])
        assert owed in self.removals, f"{owed} is said, owed are {self.removals}"
        self.removals.remove(owed)
        for one in ids & set(self.rows):
            row = self.rows[one]
            assert row.held is None or self._is_over(row), f"{data} while {row.held} is open"
        self.gone_for |= ids

    def _counted(self, data: dict[str, Any]) -> None:
        ends = ("pending", "claimed", "sent", "failed", "dropped", "expired", "unknown")
        assert data["planned"] == sum(data[name] for name in ends), f"{data} is not closed"
        assert data["books_version"] > self.told.get(data["sequence_id"], 0)
        self.told[data["sequence_id"]] = data["books_version"]

    # -- when all is quiet

    def check_quiet(self, now: datetime) -> None:
        """What is due was sent, every receipt was given, every event was said."""
        owed = {what: count for what, count in self.events.items() if count}
        assert not owed, f"never said: {owed}"
        assert not self.halts, f"receipts never given: {self.halts}"
        assert not self.removals, f"receipts never given: {self.removals}"
        for row in self.rows.values():
            assert row.held is None
            if row.sequence_id in self.deleted:
                continue
            assert row.enrollment_id not in self.ended
            newest = self.sequences[row.sequence_id]
            assert newest.version is not None
            gate = self.gates[row.sequence_id]
            if row.unknown_since is not None:
                decided = row.unknown_since + UNKNOWN_WAIT
                assert not gate.open or decided > gate.clock.at(now) - SLACK, f"{row} was never decided"
                continue
            if not row.late and not self._spared(row):
                assert not gate.open, f"{row} has not expired"
                continue  # it will, as it is, when its sequence runs again
            if not row.tried:
                old = newest.versions
                counts = old[_for(newest, row.entered)[-1]]
                row.spared = self._spared(row)
                row.options = {follow(o, row.ended, old.get(o.version), counts) for o in row.options}
                row.options = {o for o in row.options if o.step is not None}
            assert row.options, f"{row} is in the queue, and nothing is left to send"
            due = max(row.high + self._step(row, option).after for option in row.options)
            view = self.contacts[row.contact_id]
            if gate.open and not row.late and view.offset is not None and view.offset >= row.contact_offset:
                assert due > gate.clock.at(now) - SLACK, f"{row} was due at {due} and is not sent"

    def wanted_books(self, name: str) -> dict[str, int]:
        """The books of a sequence, when no claim is open; zeros left out."""
        outcomes = Counter(
            outcome for (enrollment_id, _), outcome in self.history.items() if self.of_sequence[enrollment_id] == name
        )
        books = self.books[name]
        found = {
            "planned": books.planned,
            "pending": len([row for row in self._of(name) if row.waits]),
            "dropped": books.dropped,
            **{outcome: outcomes[outcome] for outcome in ("sent", "failed", "unknown", "expired")},
        }
        return {counter: count for counter, count in found.items() if count}


def _for(sequence: SequenceModel, entered: int) -> list[int]:
    """The versions that who entered that one may run under, the last of them in the end."""
    return [entered, *[number for number in sequence.followed if number > entered]]


def _clock_of(clock: ActiveClock, state: dict[str, Any]) -> ActiveClock:
    """The sequence's clock as a state of it tells: the pauses up to then."""
    paused = parse_timestamp(state["paused_at"]) if state["status"] == "paused" else None
    until = parse_timestamp(state["updated_at"])
    return ActiveClock([pause for pause in clock.pauses if pause[1] <= until], paused)
