"""Who may enter: who asks, whom a change of their record lets in, and who is asked again after a pause."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from messaging import derive
from sluice_contracts.base import parse_timestamp

from tests.histories.enrollment_state import Ask, Away, Enrollment, EnrollmentState
from tests.pump.topics import Record

WAIT = "wait"
PATIENCE = timedelta(seconds=10)


@dataclass
class Entry(EnrollmentState):
    """All entries."""

    closed_at: dict[str, datetime] = field(default_factory=dict)

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
        if self._is_in(ask.contact_id, ask.sequence_id):
            return "already_enrolled"
        contact = self.contacts[ask.contact_id]
        if contact.opted_out or contact.opted_out_kept:
            return "opted_out"
        late = ask.via == "admit" or now - ask.at > PATIENCE
        if status == "draft":
            return ("not_found" if state is None else "sequence_not_active") if late else WAIT
        if contact.offset is None:
            return "contact_unknown" if late else WAIT
        return "enter"

    def _before(self, ask: Ask) -> list[Ask]:
        """Who asked with a command waits behind who asked before."""
        return self.asks[: self.asks.index(ask)] if ask in self.asks else []

    def _enters(self, ask: Ask, enrollment_id: str, now: datetime) -> None:
        """It is in; where a condition ends that at once, it was."""
        offset = self.contacts[ask.contact_id].offset
        assert offset is not None
        version = self.sequences[ask.sequence_id]["version"]
        assert enrollment_id not in self.enrollments
        pair = (ask.contact_id, ask.sequence_id)
        again = any((one.contact_id, one.sequence_id) == pair for one in self.enrollments.values())
        self.seen[f"entries by {ask.via}"] += 1
        self.seen["entries of who was in before"] += again
        one = Enrollment(enrollment_id, ask.contact_id, ask.sequence_id, version, offset, now)
        self.enrollments[enrollment_id] = one
        reason = self._newest(ask.sequence_id).stops(self.contacts[ask.contact_id].attributes)
        if reason is not None:
            one.status = "stopped"
            self.seen[f"stopped at entry: {reason}"] += 1
            self.owed.append(("EnrollmentStopped", enrollment_id, reason))

    def _turned_away(self, sequence_id: str, contact_id: str) -> None:
        self.away[sequence_id, contact_id] = Away(self.sequences[sequence_id]["epoch"])

    # -- by themselves

    def _pull(self, record: Record, now: datetime) -> None:
        """A change of a contact lets it in where a sequence waits for such a change; who is in is passed over."""
        kind = "created" if record.type == "ContactCreated" else "updated"
        for name in sorted(self.sequences.keys() - self.deleted):
            rules = self._newest(name)
            if kind in rules.triggers and rules.lets_in(record.data["attributes"]):
                ask = Ask(record.envelope["id"], name, record.name, record.name, now, "trigger")
                if not self._is_in(ask.contact_id, name):
                    self._decide_at_once(ask, record.envelope["source"], now)

    def _decide_at_once(self, ask: Ask, source: str, now: datetime) -> None:
        verdict = self.verdict(ask, now)
        assert verdict != WAIT
        if verdict == "enter":
            enrollment_id = derive(source, ask.command, ask.sequence_id, ask.contact_id)
            self._enters(ask, enrollment_id, now)
            self.owed.append(("ContactEnrolled", enrollment_id))
            return
        self.owed.append(("EnrollmentRefused", ask.command, ask.contact_id, verdict))
        if verdict == "sequence_paused":
            self._turned_away(ask.sequence_id, ask.contact_id)

    # -- after a pause

    def _paused(self, name: str, epoch: int) -> None:
        """Who has been asked again and has not answered may have to wait once more."""
        for one in self._away_from(name):
            if one.asked:
                one.epoch = epoch

    def _resumed(self, name: str, epoch: int, *, admits: bool) -> None:
        """The pause of that epoch is over."""
        for (sequence_id, contact_id), one in list(self.away.items()):
            if sequence_id == name and one.epoch == epoch:
                if admits:
                    one.asked = True
                elif one.asked:
                    one.certain = False
                else:
                    del self.away[sequence_id, contact_id]
                one.epoch = None

    def _away_from(self, name: str) -> list[Away]:
        return [one for (sequence_id, _), one in self.away.items() if sequence_id == name]

    def _look_at_those_away(self) -> None:
        """Note who would be passed over without a word, were they looked at now."""
        for (sequence_id, contact_id), one in self.away.items():
            if one.asked and one.epoch is None and self._is_passed_over(sequence_id, contact_id):
                one.certain = False

    def _is_passed_over(self, sequence_id: str, contact_id: str) -> bool:
        lets_in = self._newest(sequence_id).lets_in(self.contacts[contact_id].attributes)
        return not lets_in or self._is_in(contact_id, sequence_id)

    # -- what it says

    def _find(self, record: Record, now: datetime) -> Ask | None:
        """Who is spoken of."""
        command, data = record.envelope["causationid"], record.data
        pair = (data["sequence_id"], data["contact_id"])
        if data["via"] == "admit":
            away = self.away.get(pair)
            if away is None or not away.asked or self._is_passed_over(*pair):
                return None
            return Ask(command, *pair, pair[1], now, "admit")
        named = (command, *pair)
        return next((a for a in self.asks if (a.command, a.sequence_id, a.contact_id) == named), None)

    def _entered(self, record: Record, now: datetime) -> None:
        data = record.data
        owed = ("ContactEnrolled", data["enrollment_id"])
        if owed in self.owed:
            self.owed.remove(owed)
            assert data["via"] == "trigger"
        else:
            ask = self._find(record, now)
            assert ask is not None, f"{data} entered and has not asked"
            assert self.verdict(ask, now) == "enter", f"{data} entered, should be {self.verdict(ask, now)}"
            assert data["via"] == ask.via
            self._done(ask)
            self._settle(ask, "enter", data["enrollment_id"])
            self._enters(ask, data["enrollment_id"], now)
        self._check_entry(data)

    def _check_entry(self, data: dict[str, Any]) -> None:
        one = self.enrollments.get(data["enrollment_id"])
        at = parse_timestamp(data["occurred_at"])
        closed_at = self.closed_at.get(data["sequence_id"])
        assert closed_at is None or at > closed_at, f"{data} entered after the receipt of {closed_at}"
        if one is not None:  # else it entered and was erased in one step
            assert (data["version"], data["contact_offset"]) == (one.version, one.contact_offset)
            one.entered_at = at

    def _refused(self, record: Record, now: datetime) -> None:
        data = record.data
        owed = ("EnrollmentRefused", record.envelope["causationid"], data["contact_id"], data["code"])
        if owed in self.owed:
            self.owed.remove(owed)
            return
        ask = self._find(record, now)
        assert ask is not None, f"{data} was refused and has not asked"
        wanted = self.verdict(ask, now)
        assert data["code"] == wanted, f"{data} refused, should be {wanted}"
        self._done(ask)
        self._settle(ask, wanted)
        if wanted == "sequence_paused":
            self._turned_away(ask.sequence_id, ask.contact_id)

    def _done(self, ask: Ask) -> None:
        if ask.via == "admit":
            del self.away[ask.sequence_id, ask.contact_id]
        else:
            self.asks.remove(ask)

    def _check_nobody_waits(self, now: datetime) -> None:
        for ask in self.asks:
            state = self.sequences.get(ask.sequence_id)
            unknown = state is None or state["status"] == "draft" or self.contacts[ask.contact_id].offset is None
            behind = any((one.key, one.contact_id) == (ask.key, ask.contact_id) for one in self._before(ask))
            assert unknown or behind, f"{ask} waits, should be {self.verdict(ask, now)}"
        self._look_at_those_away()
        for pair, one in self.away.items():
            assert not (one.asked and one.certain and one.epoch is None), f"{pair} was never asked again: {one}"
