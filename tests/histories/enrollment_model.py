"""What the service `enrollment` must decide, from what it has heard when it decides."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sluice_contracts.base import parse_timestamp

from tests.histories.enrollment_state import Ask, Tally
from tests.histories.entry_model import Entry
from tests.histories.leaving_model import Leaving
from tests.pump.topics import Record

ONCE = ("EnrollContact", "EnrollContacts", "RemoveContact", "ContactOptedOut", "ContactReplied")


@dataclass
class EnrollmentModel(Entry, Leaving):
    """All that it decides."""

    handled: set[str] = field(default_factory=set)
    closed_epochs: dict[str, int] = field(default_factory=dict)

    # -- what it hears

    def hear(self, record: Record, now: datetime) -> None:
        """Take a record in."""
        self._look_at_those_away()
        self._weigh_all()
        kind, data, name = record.type, record.data, record.name
        if record.topic == "sequences.events":
            self._sequence(name, data)
        elif record.topic == "contacts.events":
            self._contact(name, record, now)
        elif kind in ONCE:
            identity = record.envelope["source"] + record.envelope["id"]
            if identity not in self.handled:
                self.handled.add(identity)
                self._asked(kind, data, record, now)
        elif kind == "StopConditionMet":
            self._reported(data)
        elif kind in ("StepsFinished", "MessageFailed") or (kind, data.get("outcome")) == ("MessageResolved", "failed"):
            one = self.enrollments.get(data["enrollment_id"])
            if one is not None and one.status == "active":
                one.status = "completed" if kind == "StepsFinished" else "failed"
                said = "EnrollmentCompleted" if kind == "StepsFinished" else "EnrollmentFailed"
                self.owed.append((said, one.enrollment_id))

    def _sequence(self, name: str, state: dict[str, Any]) -> None:
        known = self.sequences.get(name)
        if name in self.deleted:
            return
        if not state:
            if known is not None:
                self._delete(name)
            return
        if known is not None and known["state_version"] >= state["state_version"]:
            return
        self._hear_state(name, state)
        was_paused = known is not None and known["status"] == "paused"
        if state["status"] == "paused" and not was_paused:
            self._paused(name, state["epoch"])
        if state["status"] == "active" and known is not None and was_paused:
            self._resumed(name, known["epoch"], admits=state["admit"] == "qualifying")
        if state["status"] in ("paused", "deleted") and self.closed_epochs.get(name, -1) < state["epoch"]:
            self.closed_epochs[name] = state["epoch"]
            self.owed.append(("EntryClosed", name, state["epoch"]))
        if state["status"] == "deleted":
            self._delete(name)

    def _delete(self, name: str) -> None:
        self.deleted.add(name)
        for one in list(self.enrollments.values()):
            if one.sequence_id == name:
                self.dying.add(one.enrollment_id)
                del self.enrollments[one.enrollment_id]
        self.away = {pair: one for pair, one in self.away.items() if pair[0] != name}

    def _contact(self, name: str, record: Record, now: datetime) -> None:
        if not self.contacts[name].hear(record):
            return
        if record.value is None:
            self._gone(name, record.offset)
        else:
            self._changed(name)
            self._pull(record, now)

    def _gone(self, name: str, offset: int) -> None:
        """A removal everywhere, then an erasure."""
        live = [one for one in self._live(name) if one.contact_offset < offset]
        self._end(live, "removed", allow_reentry=True)
        self.owed.append(("ContactRemoved", name, frozenset(one.enrollment_id for one in live)))
        self._refuse_waiting(name, lambda _: True)
        self.blocks = {block for block in self.blocks if block[0] != name}
        self.away = {pair: one for pair, one in self.away.items() if pair[1] != name}
        for one in list(self.enrollments.values()):
            if one.contact_id == name:
                self.met.pop(one.enrollment_id, None)
                if one.contact_offset < offset:
                    del self.enrollments[one.enrollment_id]

    def _asked(self, kind: str, data: dict[str, Any], record: Record, now: datetime) -> None:
        command = record.envelope["id"]
        contact_id = data.get("contact_id", "")
        if kind == "EnrollContact":
            self.asks.append(Ask(command, data["sequence_id"], contact_id, record.name, now, "command"))
        elif kind == "EnrollContacts":
            named = list(dict.fromkeys(data["contact_ids"]))
            self.tallies[command] = Tally(len(named))
            self.asks += [Ask(command, data["sequence_id"], one, record.name, now, "import") for one in named]
        elif kind == "RemoveContact":
            self._remove(command, data)
        elif kind == "ContactReplied":
            self._replied(data)
        else:
            self._opted_out(contact_id, data.get("channel"))

    # -- what it says

    def said(self, record: Record, now: datetime) -> None:
        """Check what it says."""
        kind, data = record.type, record.data
        if record.topic == "enrollment.answers":
            self._answered(kind, data)
        elif kind == "ContactEnrolled":
            self._entered(record, now)
        elif kind == "EnrollmentRefused":
            self._refused(record, now)
        elif kind == "EntryClosed":
            self._owe(("EntryClosed", data["sequence_id"], data["epoch"]))
            self.closed_at[data["sequence_id"]] = parse_timestamp(data["closed_at"])
        elif kind == "ContactRemoved":
            self._owe(("ContactRemoved", data["contact_id"], frozenset(data["enrollment_ids"]) - self.dying))
        elif data.get("enrollment_id") in self.dying:
            pass
        elif kind == "EnrollmentStopped":
            self._stopped(data)
        elif kind in ("EnrollmentCompleted", "EnrollmentFailed"):
            self._owe((kind, data["enrollment_id"]))
        else:
            assert kind in ("SequenceErased", "ContactErased"), f"enrollment said {record}"

    def _answered(self, kind: str, data: dict[str, Any]) -> None:
        command = data["command"]["id"]
        assert command in self.answers, f"{data} answers what is not decided"
        verdict, wanted = self.answers[command]
        if verdict == "rejected":
            assert (kind, data["code"]) == ("CommandRejected", wanted), f"{data}, should be rejected: {wanted}"
            return
        assert kind == "CommandAccepted", f"{data}, should be accepted: {wanted}"
        result = dict(data["result"])
        if "removed" in wanted:
            result = {"removed": frozenset(result["removed"]) - self.dying}
            wanted = {"removed": wanted["removed"] - self.dying}
        assert result == wanted, f"answered {result}, should answer {wanted}"

    def check_step(self) -> None:
        """What had to follow from what was heard has followed."""
        assert not self.owed, f"enrollment did not say {self.owed}"

    def check_quiet(self, now: datetime) -> None:
        """Who waits still has to."""
        self._check_nobody_waits(now)
        self._check_reports()
