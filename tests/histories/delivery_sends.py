"""What senders may do: claim, send, and book what became of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.histories.delivery_state import TIMES_MAX, DeliveryState, Row
from tests.histories.reference import ActiveClock, Option, under
from tests.pump.senders import Attempt
from tests.pump.world import Held


@dataclass
class Sends(DeliveryState):
    """All sends."""

    def claim(self, held: Held, now: datetime) -> None:
        """A sender has it now: it must be due, in an open gate, of somebody who lives, and nobody else's."""
        row = self.rows.get(held.enrollment_id)
        assert row is not None, f"{held} is claimed and not in the queue"
        assert row.held is None, f"{held} is claimed twice"
        gate = self.gates[row.sequence_id]
        assert gate.open, f"{held} is claimed behind a closed gate"
        assert held.epoch == gate.state["epoch"]
        assert self.suspensions.status(held.channel) == "running", f"{held} is claimed and its channel is suspended"
        option = Option(held.step_id, held.version)
        assert option in row.options, f"{held} is claimed, should be one of {row.options}"
        due = self._due(row, row.low, option)
        active = gate.clock.at(now)
        assert row.late or self._spared(row), f"{held} is claimed, should expire: {self.marks[row.sequence_id]}"
        assert not row.withheld, f"{held} is claimed and was withheld: {row.condition}"
        assert row.unknown_since is None, f"{held} is claimed, and nobody has decided whether it has arrived"
        assert due <= active, f"{held} is claimed at {active}, before it is due at {due}"
        row.held, row.held_at, row.held_since, row.attempted_at = held, now, self.monotonic(), None
        self._pin(row, option)
        view = self.contacts[row.contact_id]
        gone = -1 if view.gone_offset is None else view.gone_offset
        self._look(row, held.channel)
        row.known = view.offset is not None and view.offset >= row.contact_offset > gone

    def begin(self, held: Held, attempt: Attempt) -> None:
        """The first byte has left: no receipt may stand against it."""
        row = self.rows.get(held.enrollment_id)
        assert row is not None
        assert row.held == held, f"{held} is sent by who does not hold it: {row.held}"
        assert held.epoch > self.halted.get(row.sequence_id, -1), f"{held} is sent after the receipt of its sequence"
        assert row.enrollment_id not in self.gone_for, f"{held} is sent after the receipt of a removal"
        assert self.suspensions.status(held.channel) != "suspended", f"{held} is sent after the receipt of its channel"
        assert row.known, f"{held} is sent to a contact who was not known, or was gone, when it was claimed"
        window = self._window(row)
        assert window is None or window.opens_at(attempt.at) == attempt.at, f"{held} is sent outside its window"
        assert row.condition is None, f"{held} is sent, and its enrollment should end: {row.condition}"
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
            case "withheld":
                self._withhold(row, held)
                self._not_tried(row)
            case "held":
                self._wait_for_window(row, held, now)
                self._not_tried(row)
            case "released" | "postponed":
                self._not_tried(row)
                row.late |= ending == "postponed"
            case _:
                raise AssertionError(ending)

    def _not_tried(self, row: Row) -> None:
        """It is as if it had not been claimed; what is tried again keeps its time."""
        if row.tried:
            return
        options = self._closed(row.options, row.ended, self.sequences[row.sequence_id], row.entered)
        if options != row.options:  # it may follow what was published meanwhile
            row.spared, row.options = self._spared(row), options

    def _withhold(self, row: Row, held: Held) -> None:
        """Enrollment is told, unless what was looked at is not the newest any more."""
        assert row.condition is not None, f"{held} is withheld without reason"
        if self._is_newest(row):
            row.withheld = True
            version = self.contacts[row.contact_id].version
            self.notices[row.enrollment_id, row.condition, version, row.looked_at[1]] += 1

    def _wait_for_window(self, row: Row, held: Held, now: datetime) -> None:
        """It is due when that opens; a pause until then is added, as to any delay."""
        window = self._window(row)
        opens = window.opens_at(now) if window is not None else now
        assert opens > now, f"{held} waits for its window, which is open"
        self.waits_for_windows += 1
        if self._is_newest(row):
            row.late = False
            row.opens = ActiveClock(self.gates[row.sequence_id].clock.pauses).at(opens)

    def _is_newest(self, row: Row) -> bool:
        """Whether what was looked at is still the newest record and version."""
        version = under(row.entered, self.gates[row.sequence_id].state)
        return row.looked_at == (self.contacts[row.contact_id].offset, version)

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

    def give_back(self, tokens: Collection[int], kept: Collection[str]) -> None:
        """A claim whose answer was lost is as if it had not been made, once its sender has given it back."""
        for row in list(self.rows.values()):
            if row.held is not None and row.held.token in tokens and row.enrollment_id not in kept:
                self.book(row.enrollment_id, row.held.token, "released", row.held_at or row.low, in_doubt=False)
