"""What ends an enrollment early: a removal, an opt-out, a reply, a condition on the contact."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sluice_contracts.base import parse_timestamp

from tests.histories.enrollment_state import Enrollment, EnrollmentState


class Met(NamedTuple):
    """What delivery saw before a send, and the versions of contact and sequence that it looked at."""

    condition: str
    contact_version: int
    sequence_version: int


UNDECIDED = "undecided"
"""What delivery saw is not known here yet."""


@dataclass
class Leaving(EnrollmentState):
    """All early ends."""

    met: dict[str, Met] = field(default_factory=dict)
    """What delivery has reported, by enrollment, until that is decided."""
    let_be: set[str] = field(default_factory=set)
    """Those of whom newer data have said otherwise at some moment: their report may be forgotten."""

    def _remove(self, command: str, data: dict[str, Any]) -> None:
        contact_id, sequence_id, campaign = data["contact_id"], data.get("sequence_id"), data.get("campaign")
        again = data.get("allow_reentry", False)

        def covers(one: str) -> bool:
            if sequence_id is not None:
                return bool(one == sequence_id)
            return campaign is None or self._campaign(one) == campaign

        def refuses(one: str) -> bool:
            state = self.sequences.get(one)
            unknown = state is None or state.get("version") is None or one in self.deleted
            return (campaign is not None and unknown) or covers(one)

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
        for pair in [pair for pair in self.away if pair[1] == contact_id and refuses(pair[0])]:
            del self.away[pair]  # whom a pause has kept out is not asked again

    def _refuse_waiting(self, contact_id: str, refuses: Callable[[str], bool]) -> None:
        for ask in [ask for ask in self.asks if ask.contact_id == contact_id and refuses(ask.sequence_id)]:
            self.asks.remove(ask)
            self.owed.append(("EnrollmentRefused", ask.command, ask.contact_id, "removed"))
            self._settle(ask, "removed")

    def _stop(self, live: list[Enrollment], reason: str) -> None:
        self._end(live, "stopped")
        self.seen[f"stopped: {reason}"] += len(live)
        self.owed += [("EnrollmentStopped", one.enrollment_id, reason) for one in live]

    def _end(self, live: list[Enrollment], status: str, *, allow_reentry: bool = False) -> None:
        for one in live:
            one.status, one.allow_reentry = status, allow_reentry

    # -- what contacts say and become

    def _opted_out(self, contact_id: str, channel: str | None) -> None:
        if channel is None:
            self.contacts[contact_id].opted_out_kept = True
            self._stop(self._live(contact_id), "opted_out")
        else:
            self.contacts[contact_id].channels.add(channel)
            self._decide_reports(contact_id)

    def _replied(self, data: dict[str, Any]) -> None:
        """It ends what it may be a reply to; providers count in whole seconds."""
        at = parse_timestamp(data["occurred_at"])
        for one in self._live(data["contact_id"]):
            if self._rules_of(one).on_reply and one.entered_at.replace(microsecond=0) <= at:
                self._stop([one], "replied")

    def _changed(self, contact_id: str) -> None:
        """A contact has a newer record: what holds of it now ends what it is in."""
        contact = self.contacts[contact_id]
        for one in self._live(contact_id):
            opted_out = contact.opted_out or contact.opted_out_kept
            reason = "opted_out" if opted_out else self._rules_of(one).stops(contact.attributes)
            if reason is not None:
                self._stop([one], reason)

    # -- what delivery saw before a send

    def _reported(self, data: dict[str, Any]) -> None:
        one = self.enrollments.get(data["enrollment_id"])
        if one is not None and one.status == "active":
            met = Met(data["condition"], data["contact_version"], data["sequence_version"])
            known = self.met.get(one.enrollment_id)
            if known is None or known[1:] < met[1:]:
                self.met[one.enrollment_id] = met
            self.let_be.discard(one.enrollment_id)
            self._decide_reports(one.contact_id)

    def _decide_reports(self, contact_id: str) -> None:
        """Decide what can be decided of a contact, at once."""
        for enrollment_id, met in list(self.met.items()):
            one = self.enrollments.get(enrollment_id)
            if one is None or one.status != "active":
                del self.met[enrollment_id]
            elif one.contact_id == contact_id:
                reason = self._weigh(one, met)
                if reason != UNDECIDED:
                    del self.met[enrollment_id]
                self.seen["reports of delivery that ended nothing"] += reason is None
                if reason not in (UNDECIDED, None):
                    self.seen["stopped by what delivery saw"] += 1
                    self._stop([one], str(reason))

    def _weigh(self, one: Enrollment, met: Met) -> str | None:
        """What ends it, by what is known here; None where newer data say otherwise."""
        contact, state = self.contacts[one.contact_id], self.sequences[one.sequence_id]
        if (contact.version or 0) < met.contact_version or state["version"] < met.sequence_version:
            return UNDECIDED
        if contact.opted_out or contact.opted_out_kept:
            return "opted_out"
        reason = self._rules_of(one).stops(contact.attributes)
        if reason is not None or met.condition != "opted_out" or contact.version != met.contact_version:
            return reason
        return "opted_out" if contact.channels else UNDECIDED

    def _weigh_all(self) -> None:
        """Note which reports would be forgotten, were they looked at now."""
        for enrollment_id, met in self.met.items():
            one = self.enrollments.get(enrollment_id)
            if one is not None and one.status == "active" and self._weigh(one, met) is None:
                self.let_be.add(enrollment_id)

    def _stopped(self, data: dict[str, Any]) -> None:
        """It says that something has ended: what was owed, or what delivery saw and it knows by now."""
        enrollment_id, reason = data["enrollment_id"], data["reason"]
        owed = ("EnrollmentStopped", enrollment_id, reason)
        one, met = self.enrollments.get(enrollment_id), self.met.get(enrollment_id)
        if owed in self.owed or one is None or met is None:
            self._owe(owed)
            return
        assert one.status == "active"
        assert reason == self._weigh(one, met), f"{data}, by what is known it should be {self._weigh(one, met)}"
        del self.met[enrollment_id]
        self.seen[f"stopped when more was known of what delivery saw: {reason}"] += 1
        self._end([one], "stopped")

    def _check_reports(self) -> None:
        self._weigh_all()
        for enrollment_id, met in self.met.items():
            one = self.enrollments.get(enrollment_id)
            if one is not None and one.status == "active" and enrollment_id not in self.let_be:
                assert self._weigh(one, met) == UNDECIDED, f"{one} was never stopped, delivery saw {met}"
