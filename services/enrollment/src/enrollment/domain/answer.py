"""What the asker of an enroll is told: at once, or when its last contact is decided."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from messaging import Decision, Refused
from sluice_contracts.base import RejectionCode

from enrollment.domain.entry import Entered, Missing, Refusal, Verdict

DETAILS: Final[Mapping[str, str]] = {
    "deleted": "the sequence is deleted",
    "sequence_paused": "the sequence is paused",
    "sequence_not_active": "the sequence is not active",
    "removed": "the contact was removed from it",
    "already_enrolled": "the contact is or was in it already",
    "opted_out": "the contact has opted out",
    "not_found": "there is no such sequence",
    "contact_unknown": "there is no such contact",
}


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the contacts of one import so far, and how many still wait."""

    enrolled: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0


def tally(verdicts: Iterable[Verdict]) -> Tally:
    """Count the verdicts of one command."""
    enrolled = waiting = 0
    refused: Counter[str] = Counter()
    for verdict in verdicts:
        match verdict:
            case Entered():
                enrolled += 1
            case Refusal(code):
                refused[code] += 1
            case Missing():
                waiting += 1
    return Tally(enrolled, dict(refused), waiting)


def add(before: Tally, verdicts: Iterable[Verdict]) -> Tally:
    """Count contacts that had waited and are decided now; those that go on waiting change nothing."""
    more = tally(verdicts)
    decided = more.enrolled + sum(more.refused.values())
    refused = Counter(before.refused)
    refused.update(more.refused)
    return Tally(before.enrolled + more.enrolled, dict(refused), before.waiting - decided)


def of_import(counted: Tally) -> Decision[None]:
    """The answer of an import; none yet while contacts wait."""
    if counted.waiting:
        return Decision(deferred=True)
    refused = {code: counted.refused[code] for code in sorted(counted.refused)}
    return Decision(result={"enrolled": counted.enrolled, "refused": refused})


def of_enroll(verdict: Verdict, *, enrollment_id: str) -> Decision[None]:
    """The answer of a single enroll; none yet while it waits. Raises Refused."""
    match verdict:
        case Entered():
            return Decision(result={"enrollment_id": enrollment_id})
        case Refusal(code):
            raise refused(code)
        case Missing():
            return Decision(deferred=True)


def refused(code: RejectionCode) -> Refused:
    """The rejection of a single enroll."""
    return Refused(code, DETAILS[code])
