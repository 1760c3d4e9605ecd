"""Who is in which sequence and who waits, as the service `enrollment` has to know it."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.histories.contact_view import ContactView
from tests.histories.reference import Rules, Version, under, version_of


@dataclass
class Enrollment:
    """One entry and its end."""

    enrollment_id: str
    contact_id: str
    sequence_id: str
    version: int
    contact_offset: int
    entered_at: datetime
    status: str = "active"
    allow_reentry: bool = False


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
class Away:
    """A contact that a pause has kept out of a sequence."""

    epoch: int | None
    """Of the pause whose end it waits for."""
    asked: bool = False
    """A resume has asked it again, and the answer is still to come."""
    certain: bool = True
    """At no moment since has it been in already, or not qualified any more: it may not have been passed over."""


@dataclass
class Tally:
    """What became of an import."""

    left: int
    enrolled: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass
class EnrollmentState:
    """What it has heard and decided."""

    sequences: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    dying: set[str] = field(default_factory=set)
    """Enrollments of deleted sequences: until they are erased they may end as others do, or not."""
    contacts: dict[str, ContactView] = field(default_factory=lambda: defaultdict(ContactView))
    enrollments: dict[str, Enrollment] = field(default_factory=dict)
    """In the order in which they entered."""
    blocks: set[tuple[str, str]] = field(default_factory=set)
    asks: list[Ask] = field(default_factory=list)
    away: dict[tuple[str, str], Away] = field(default_factory=dict)
    """By sequence and contact."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    owed: list[tuple[Any, ...]] = field(default_factory=list)
    """What must be said by the end of this step, in any order."""
    answers: dict[str, tuple[str, Any]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    """What happened, for the report of a run."""

    def _hear_state(self, name: str, state: dict[str, Any]) -> None:
        self.sequences[name] = state
        if state.get("published") is not None:
            self.versions[name, state["version"]] = version_of(state["version"], state["published"])

    def _newest(self, name: str) -> Rules:
        """The rules of whoever enters now."""
        state = self.sequences.get(name)
        if state is None or name in self.deleted or state.get("version") is None:
            return Rules()
        return self.versions[name, state["version"]].rules

    def _rules_of(self, one: Enrollment) -> Rules:
        """The rules that an enrollment is under."""
        return self.versions[one.sequence_id, under(one.version, self.sequences[one.sequence_id])].rules

    def _live(self, contact_id: str) -> list[Enrollment]:
        return [one for one in self.enrollments.values() if one.contact_id == contact_id and one.status == "active"]

    def _is_in(self, contact_id: str, sequence_id: str) -> bool:
        """Whether an earlier entry keeps it out: the last one counts, unless it was removed to be let in again."""
        pair = (contact_id, sequence_id)
        been = [one for one in self.enrollments.values() if (one.contact_id, one.sequence_id) == pair]
        if not been or (been[-1].status == "removed" and been[-1].allow_reentry):
            return False
        return been[-1].status == "active" or self._newest(sequence_id).once

    def _campaign(self, sequence_id: str) -> str | None:
        state = self.sequences.get(sequence_id)
        return None if not state or sequence_id in self.deleted else (state.get("published") or {}).get("campaign")

    def _owe(self, what: tuple[Any, ...]) -> None:
        assert what in self.owed, f"enrollment said {what}, should say {self.owed}"
        self.owed.remove(what)

    def _settle(self, ask: Ask, verdict: str, enrollment_id: str = "") -> None:
        """The answer to who asked."""
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
