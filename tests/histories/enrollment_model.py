"""What the service `enrollment` must decide, from what it has heard when it decides."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sluice_contracts.base import parse_timestamp

from tests.pump.topics import Record

WAIT = "wait"
PATIENCE = timedelta(seconds=10)


@dataclass
class Enrollment:
    """One entry and its end."""

    enrollment_id: str
    contact_id: str
    sequence_id: str
    version: int
    contact_offset: int
    status: str = "active"
    allow_reentry: bool = False


@dataclass
class ContactView:
    """What a service has heard of a contact."""

    version: int | None = None
    offset: int | None = None
    gone_offset: int | None = None
    opted_out: bool = False
    opted_out_kept: bool = False

    def hear(self, record: Record) -> bool:
        """Take in a record; whether it was news."""
        if record.value is None:
            if self.gone_offset is not None and self.gone_offset >= record.offset:
                return False
            self.gone_offset = record.offset
            if self.offset is None or self.offset < record.offset:
                self.opted_out_kept |= self.opted_out
                self.version = self.offset = None
                self.opted_out = False
            return True
        data = record.data
        if self.version is not None and self.version >= data["state_version"]:
            return False
        if self.gone_offset is not None and self.gone_offset >= record.offset:
            return False
        self.version, self.offset, self.opted_out = data["state_version"], record.offset, data["opted_out"]
        return True


@dataclass
class Ask:
    """One contact that asks for entry."""

    command: str
    sequence_id: str
    contact_id: str
    key: str
    at: datetime
    via: str


@dataclass
class Tally:
    """What became of an import."""

    left: int
    enrolled: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass
class EnrollmentModel:
    """All that it decides."""

    sequences: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    dying: set[str] = field(default_factory=set)
    """Enrollments of deleted sequences: until they are erased they may end as others do, or not."""
    contacts: dict[str, ContactView] = field(default_factory=lambda: defaultdict(ContactView))
    enrollments: dict[str, Enrollment] = field(default_factory=dict)
    blocks: set[tuple[str, str]] = field(default_factory=set)
    asks: list[Ask] = field(default_factory=list)
    handled: set[str] = field(default_factory=set)
    tallies: dict[str, Tally] = field(default_factory=dict)
    owed: list[tuple[Any, ...]] = field(default_factory=list)
    """What must be said by the end of this step, in any order."""
    answers: dict[str, tuple[str, Any]] = field(default_factory=dict)
    closed_epochs: dict[str, int] = field(default_factory=dict)
    closed_at: dict[str, datetime] = field(default_factory=dict)

    # -- what it hears

    def hear(self, record: Record, now: datetime) -> None:
        """Take a record in."""
        kind, data, name = record.type, record.data, record.name
        if record.topic == "sequences.events":
            self._sequence(name, data)
        elif record.topic == "contacts.events":
            self._contact(name, record)
        elif kind in ("EnrollContact", "EnrollContacts", "RemoveContact", "ContactOptedOut"):
            identity = record.envelope["source"] + record.envelope["id"]
            if identity not in self.handled:
                self.handled.add(identity)
                self._ask(kind, data, record, now)
        elif kind in ("StepsFinished", "MessageFailed"):
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
        self.sequences[name] = state
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

    def _contact(self, name: str, record: Record) -> None:
        view = self.contacts[name]
        if not view.hear(record):
            return
        if record.value is None:
            live = [one for one in self._live(name) if one.contact_offset < record.offset]
            self._end(live, "removed", allow_reentry=True)
            self.owed.append(("ContactRemoved", name, frozenset(one.enrollment_id for one in live)))
            self._refuse_waiting(name, lambda _: True)
            self.blocks = {block for block in self.blocks if block[0] != name}
            for one in list(self.enrollments.values()):
                if one.contact_id == name and one.contact_offset < record.offset:
                    del self.enrollments[one.enrollment_id]
        elif view.opted_out:
            self._stop(name, "opted_out")

    def _ask(self, kind: str, data: dict[str, Any], record: Record, now: datetime) -> None:
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
        elif data.get("channel") is None:
            self.contacts[contact_id].opted_out_kept = True
            self._stop(contact_id, "opted_out")

    def _remove(self, command: str, data: dict[str, Any]) -> None:
        contact_id, sequence_id, campaign = data["contact_id"], data.get("sequence_id"), data.get("campaign")
        again = data.get("allow_reentry", False)

        def covers(one: str) -> bool:
            if sequence_id is not None:
                return bool(one == sequence_id)
            return campaign is None or self._campaign(one) == campaign

        def refuses(ask: Ask) -> bool:
            state = self.sequences.get(ask.sequence_id)
            unknown = state is None or state.get("version") is None or ask.sequence_id in self.deleted
            return (campaign is not None and unknown) or covers(ask.sequence_id)

        live = [one for one in self._live(contact_id) if covers(one.sequence_id)]
        self._end(live, "removed", allow_reentry=again)
        if not again:
            scopes = {f"campaign:{campaign}"} if campaign is not None else set()
            if campaign is None:
                named = {sequence_id} if sequence_id else {one.sequence_id for one in live}
                scopes = {f"sequence:{one}" for one in named - self.deleted}
            self.blocks |= {(contact_id, scope) for scope in scopes}
        ids = frozenset(one.enrollment_id for one in live)
        self.owed.append(("ContactRemoved", contact_id, ids))
        self.answers[command] = ("accepted", {"removed": ids})
        self._refuse_waiting(contact_id, refuses)

    def _refuse_waiting(self, contact_id: str, refuses: Any) -> None:
        for ask in [ask for ask in self.asks if ask.contact_id == contact_id and refuses(ask)]:
            self.asks.remove(ask)
            self.owed.append(("EnrollmentRefused", ask.command, ask.contact_id, "removed"))
            self._settle(ask, "removed")

    def _stop(self, contact_id: str, reason: str) -> None:
        live = self._live(contact_id)
        self._end(live, "stopped")
        self.owed += [("EnrollmentStopped", one.enrollment_id, reason) for one in live]

    def _live(self, contact_id: str) -> list[Enrollment]:
        return [one for one in self.enrollments.values() if one.contact_id == contact_id and one.status == "active"]

    def _end(self, live: list[Enrollment], status: str, *, allow_reentry: bool = False) -> None:
        for one in live:
            one.status, one.allow_reentry = status, allow_reentry

    def _campaign(self, sequence_id: str) -> str | None:
        state = self.sequences.get(sequence_id)
        return None if not state or sequence_id in self.deleted else (state.get("published") or {}).get("campaign")

    # -- what it decides

    def verdict(self, ask: Ask, now: datetime) -> str:
        """`enter`, `wait`, or the code of the refusal."""
        state = self.sequences.get(ask.sequence_id)
        status = "deleted" if ask.sequence_id in self.deleted else state["status"] if state else "draft"
        if status == "deleted":
            return "deleted"
        if any((one.key, one.contact_id) == (ask.key, ask.contact_id) for one in self._before(ask)):
            return WAIT
        if status == "paused":
            return "sequence_paused"
        scopes = {f"sequence:{ask.sequence_id}", f"campaign:{self._campaign(ask.sequence_id)}"}
        if any((ask.contact_id, scope) in self.blocks for scope in scopes):
            return "removed"
        if any(
            one.contact_id == ask.contact_id
            and one.sequence_id == ask.sequence_id
            and not (one.status == "removed" and one.allow_reentry)
            for one in self.enrollments.values()
        ):
            return "already_enrolled"
        contact = self.contacts[ask.contact_id]
        if contact.opted_out or contact.opted_out_kept:
            return "opted_out"
        late = now - ask.at > PATIENCE
        if status == "draft":
            return ("not_found" if state is None else "sequence_not_active") if late else WAIT
        if contact.offset is None:
            return "contact_unknown" if late else WAIT
        return "enter"

    # -- what it says

    def said(self, record: Record, now: datetime) -> Enrollment | None:
        """Check what it says; an entry, where it is one."""
        kind, data = record.type, record.data
        if record.topic == "enrollment.answers":
            self._answered(kind, data, now)
        elif kind == "ContactEnrolled":
            return self._entered(record, now)
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
            self._owe(("EnrollmentStopped", data["enrollment_id"], data["reason"]))
        elif kind in ("EnrollmentCompleted", "EnrollmentFailed"):
            self._owe((kind, data["enrollment_id"]))
        else:
            assert kind in ("SequenceErased", "ContactErased"), f"enrollment said {record}"
        return None

    def _owe(self, what: tuple[Any, ...]) -> None:
        assert what in self.owed, f"enrollment said {what}, should say {self.owed}"
        self.owed.remove(what)

    def _find(self, record: Record) -> Ask | None:
        command, data = record.envelope["causationid"], record.data
        named = (command, data["sequence_id"], data["contact_id"])
        return next((a for a in self.asks if (a.command, a.sequence_id, a.contact_id) == named), None)

    def _entered(self, record: Record, now: datetime) -> Enrollment:
        data, ask = record.data, self._find(record)
        assert ask is not None, f"{data} entered and has not asked"
        assert self.verdict(ask, now) == "enter", f"{data} entered, should be {self.verdict(ask, now)}"
        state = self.sequences[ask.sequence_id]
        assert data["version"] == state["version"]
        assert data["contact_offset"] == self.contacts[ask.contact_id].offset
        assert data["via"] == ask.via
        at = parse_timestamp(data["occurred_at"])
        assert ask.sequence_id not in self.closed_at or at > self.closed_at[ask.sequence_id]
        self.asks.remove(ask)
        self._settle(ask, "enter", data["enrollment_id"])
        one = Enrollment(
            data["enrollment_id"], ask.contact_id, ask.sequence_id, data["version"], data["contact_offset"]
        )
        assert one.enrollment_id not in self.enrollments
        self.enrollments[one.enrollment_id] = one
        return one

    def _refused(self, record: Record, now: datetime) -> None:
        data = record.data
        owed = ("EnrollmentRefused", record.envelope["causationid"], data["contact_id"], data["code"])
        if owed in self.owed:
            self.owed.remove(owed)
            return
        ask = self._find(record)
        assert ask is not None, f"{data} was refused and has not asked"
        wanted = self.verdict(ask, now)
        assert data["code"] == wanted, f"{data} refused, should be {wanted}"
        self.asks.remove(ask)
        self._settle(ask, wanted)

    def _settle(self, ask: Ask, verdict: str, enrollment_id: str = "") -> None:
        tally = self.tallies.get(ask.command)
        if tally is None:
            accepted = ("accepted", {"enrollment_id": enrollment_id})
            self.answers[ask.command] = accepted if verdict == "enter" else ("rejected", verdict)
            return
        tally.left -= 1
        if verdict == "enter":
            tally.enrolled += 1
        else:
            tally.refused[verdict] += 1
        if not tally.left:
            self.answers[ask.command] = ("accepted", {"enrolled": tally.enrolled, "refused": dict(tally.refused)})

    def _answered(self, kind: str, data: dict[str, Any], now: datetime) -> None:
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
        for ask in self.asks:
            state = self.sequences.get(ask.sequence_id)
            unknown = state is None or state["status"] == "draft" or self.contacts[ask.contact_id].offset is None
            behind = any((one.key, one.contact_id) == (ask.key, ask.contact_id) for one in self._before(ask))
            assert unknown or behind, f"{ask} waits, should be {self.verdict(ask, now)}"

    def _before(self, ask: Ask) -> list[Ask]:
        return self.asks[: self.asks.index(ask)]
