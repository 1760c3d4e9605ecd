"""What `delivery` may send and must have sent, what it books, and what its receipts must say."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice_contracts.base import parse_timestamp

from tests.histories.delivery_said import Said
from tests.histories.delivery_state import SLACK, UNKNOWN_WAIT, Gate, Mark, Owed, Row, clock_of, runs_under
from tests.histories.reference import ActiveClock, Version, delay, first, follow
from tests.pump.topics import Record


@dataclass
class DeliveryModel(Said):
    """All of it."""

    # -- what it hears

    def hear(self, record: Record) -> None:
        """Take a record in."""
        data, kind = record.data, record.type
        if record.topic == "sequences.events":
            self._sequence(record.name, data)
        elif record.topic == "contacts.events":
            if self.contacts[record.name].hear(record) and record.value is not None:
                self._look_again(row for row in self.rows.values() if row.contact_id == record.name)
        elif kind == "ContactOptedOut":
            self.contacts[record.name].channels.add(data.get("channel") or "*")
        elif kind == "ContactEnrolled":
            self._enter(data)
        elif kind == "ContactRemoved":
            self._remove(data)
        elif kind in ("SuspendDelivery", "RestoreDelivery"):
            self._scope(kind, record.envelope["id"], data["scope"])
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
        self.gates[name] = Gate(state, clock_of(clock, state))
        self._mark(name, state)
        if state.get("version") and (known is None or known.state.get("follow_version") != state["follow_version"]):
            following = [row for row in self._of(name) if row.entered < state["follow_version"]]
            self._look_again(following)
            for row in following:
                row.opens = None

    def _scope(self, kind: str, command: str, scope: str) -> None:
        if command not in self.handled:
            self.handled.add(command)
            if kind == "SuspendDelivery":
                self.suspensions.suspend(command, scope, len(self._claimed_in(scope)))
            else:
                self.suspensions.restore(command, scope)

    def _look_again(self, rows: Iterable[Row]) -> None:
        """Something is newer than what spoke against them."""
        for row in rows:
            row.withheld = False

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

    def _close(self, name: str, state: dict[str, Any]) -> None:
        clock = self.gates[name].clock if name in self.gates else ActiveClock()
        self.gates[name] = Gate({**state, "status": "deleted"}, clock)

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
        waiting = [row for row in rows if row.waits and not row.in_doubt]
        erasing = len([row for row in waiting if row.sequence_id in self.deleted])
        in_flight = len([row for row in rows if row.held is not None])
        self.removals.append(Owed(data["removal_id"], named | halted, len(waiting), erasing, in_flight))
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

    # -- when all is quiet

    def check_quiet(self, now: datetime) -> None:
        """What is due was sent, every receipt was given, every event was said."""
        owed = {what: count for what, count in self.events.items() if count}
        assert not owed, f"never said: {owed}"
        assert not self.halts, f"receipts never given: {self.halts}"
        told = {what: count for what, count in self.notices.items() if count}
        assert not told, f"never said: {told}"
        self.suspensions.check_quiet()
        assert not self.removals, f"receipts never given: {self.removals}"
        for row in self.rows.values():
            assert row.held is None
            if row.sequence_id in self.deleted:
                continue
            assert row.enrollment_id not in self.ended
            assert not row.withheld, f"{row} is withheld, and neither ended nor looked at again"
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
            if not row.late and not gate.open and self._may_be_over(row):
                continue  # likewise, where the mark was made before the edit that it would follow
            if not row.tried:
                old = newest.versions
                counts = old[runs_under(newest, row.entered)[-1]]
                row.spared = self._spared(row)
                row.options = {follow(o, row.ended, old.get(o.version), counts) for o in row.options}
                row.options = {o for o in row.options if o.step is not None}
            assert row.options, f"{row} is in the queue, and nothing is left to send"
            steps = [self._step(row, option) for option in row.options]
            if any(self.suspensions.status(step.channel) != "running" for step in steps):
                continue
            due = max(self._due(row, row.high, option) for option in row.options)
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
