"""What `delivery` says: every event and receipt, checked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.histories.delivery_sends import Sends
from tests.histories.delivery_state import SLACK, UNKNOWN_WAIT
from tests.histories.reference import Option
from tests.pump.topics import Record

REACHED = {"delivered", "read", "complained"}


@dataclass
class Said(Sends):
    """All that it says."""

    def said(self, record: Record, now: datetime) -> None:
        """Check what it says."""
        kind, data = record.type, record.data
        if kind in ("MessageSent", "MessageFailed", "MessageUnknown"):
            if kind == "MessageUnknown" and not self.events[kind, data["enrollment_id"], data["step_id"]]:
                self._expired_in_doubt(data, now)
            if kind == "MessageSent" and not self.events[kind, data["enrollment_id"], data["step_id"]]:
                self._arrived(data, now)
            self.events[kind, data["enrollment_id"], data["step_id"]] -= 1
            assert self.events[kind, data["enrollment_id"], data["step_id"]] >= 0, f"said without reason: {record}"
        elif kind == "MessageReported":
            self._reported(data)
        elif kind == "MessageResolved":
            self._resolved(data, now)
        elif kind == "MessageExpired":
            self._expired(data)
        elif kind in ("DeliverySuspended", "DeliveryRestored"):
            is_busy = any(not self._is_over(row) for row in self._claimed_in(data["scope"]))
            self.suspensions.said(kind, data, is_busy=is_busy)
        elif kind == "CommandAccepted" and data["command"]["type"] in ("SuspendDelivery.v1", "RestoreDelivery.v1"):
            wanted = self.suspensions.answers[data["command"]["id"]]
            assert data["result"] == {"epoch": wanted}, f"{data}, should be {wanted}"
        elif kind == "StopConditionMet":
            notice = (data["enrollment_id"], data["condition"], data["contact_version"], data["sequence_version"])
            self.notices[notice] -= 1
            assert self.notices[notice] >= 0, f"said without reason: {data}"
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
            known = ("ContactErased", "ContactOptedOut", "CommandAccepted", "CommandRejected", "")
            assert kind in known, f"delivery said {record}"

    def _resolved(self, data: dict[str, Any], now: datetime) -> None:
        """It was decided: it counts as sent, or it is sent again under its id."""
        message = (data["enrollment_id"], data["step_id"])
        outcome = data["outcome"]
        if data["by"] == "report":
            said = {kind for message_id, kind in self.reports if message_id == data["message_id"]}
            assert said & ({"bounced"} if outcome == "failed" else REACHED), f"{data}, providers have said {said}"
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
        if row is not None and outcome == "failed":
            del self.rows[row.enrollment_id]
        elif row is not None:
            row.unknown_since = None
            row.attempted_at = now
            self._goes_on(row, data["step_id"], now)

    def _arrived(self, data: dict[str, Any], now: datetime) -> None:
        """It was to be sent again, and its provider has it: it is sent, and not tried again."""
        said = {kind for message_id, kind in self.reports if message_id == data["message_id"]}
        assert said & REACHED, f"said without reason: {data}, providers have said {said}"
        row = self.rows.get(data["enrollment_id"])
        assert row is not None, f"{data} of who is not in the queue"
        assert row.waits, f"{data} while {row.held} is open"
        assert row.tried, f"{data} was never tried"
        (option,) = row.options
        assert option.step == data["step_id"], f"{data}, should be {option}"
        row.attempted_at = now
        self._ends(row, data["step_id"], "sent")
        self._goes_on(row, data["step_id"], now)

    def _reported(self, data: dict[str, Any]) -> None:
        """A report is told when its message has ended: it may have been quicker than the booking."""
        said = (data["message_id"], data["report"])
        assert said in self.reports, f"{data}, providers have said {self.reports}"
        assert (data["enrollment_id"], data["step_id"]) in self.history, f"{data} before it has ended"
        self.announced.add(said)

    def check_reports(self) -> None:
        """Days later: all that providers said is told, and has decided what was unknown."""
        for message, message_id in self.message_ids.items():
            if message in self.history and self.of_sequence[message[0]] not in self.deleted:
                said = {one for one in self.reports if one[0] == message_id}
                assert said <= self.announced, f"never told: {said - self.announced}"
                assert not said or self.history[message] != "unknown", f"{message} is unknown, and reported: {said}"

    def _expired(self, data: dict[str, Any]) -> None:
        """It was due before a resume that passes over it; the next step counts from there."""
        row = self.rows.get(data["enrollment_id"])
        assert row is not None, f"{data} of who is not in the queue"
        step = data["step_id"]
        assert row.waits
        dues = [self._due(row, row.low, o) for o in row.options if o.step == step]
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
        owed = next((one for one in self.removals if one.is_given(data)), None)
        assert owed is not None, f"{data} is said, owed are {self.removals}"
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
