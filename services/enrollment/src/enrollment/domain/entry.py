"""Who enters a sequence, who does not, and who has to wait for what enrollment has not heard of yet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from campaign.conditions import Facts
from sluice_contracts.base import RejectionCode
from sluice_contracts.enrollment import ContactEnrolled, EnrollmentRefused, EnrollmentStopped, StopReason, Via

from enrollment.domain.block import campaign_scope, sequence_scope
from enrollment.domain.contact import Contact
from enrollment.domain.sequence import Sequence, Status

Pair = tuple[str, str]
"""Something and a contact's id."""
NO_FACTS: Final = Facts()


class Missing(StrEnum):
    """What an enroll waits for; `BEHIND` is an earlier enroll of the same key that waits itself."""

    SEQUENCE = "sequence"
    CONTACT = "contact"
    BEHIND = "behind"


class Ask(NamedTuple):
    """One contact asks for entry into one sequence, at `position` in its command; `parked_at`: since when it waits."""

    sequence_id: str
    contact_id: str
    enrollment_id: str
    key: str
    position: int
    parked_at: datetime | None = None


class Been(StrEnum):
    """What a contact's last entry into a sequence is, where it counts."""

    LIVE = "live"
    PAST = "past"


class Standing(NamedTuple):
    """How a contact stands towards a sequence, read under the contact's lock; no `contact_offset`: not heard of."""

    contact_offset: int | None
    opted_out: bool
    been: Been | None
    blocked: bool
    behind: bool
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Against:
    """What speaks against entries, each with the contact's id: sequences, scopes that are blocked, keys that wait."""

    been: dict[Pair, Been] = field(default_factory=dict)
    blocked: set[Pair] = field(default_factory=set)
    behind: set[Pair] = field(default_factory=set)


class Entered(NamedTuple):
    """The contact enters the version that is the newest, on the contact record at that offset.

    `again`: its last entry has ended and does not count any more. `stopped`: what ends this one at once.
    """

    version: int
    contact_offset: int
    again: bool = False
    stopped: StopReason | None = None


class Refusal(NamedTuple):
    """The contact does not enter."""

    code: RejectionCode


Verdict = Entered | Refusal | Missing

DELETED: Final = Refusal("deleted")
PAUSED: Final = Refusal("sequence_paused")
NOT_ACTIVE: Final = Refusal("sequence_not_active")
REMOVED: Final = Refusal("removed")
ALREADY_ENROLLED: Final = Refusal("already_enrolled")
OPTED_OUT: Final = Refusal("opted_out")
NOT_FOUND: Final = Refusal("not_found")
CONTACT_UNKNOWN: Final = Refusal("contact_unknown")
NOBODY_GIVES_UP: Final[Mapping[Missing, datetime]] = MappingProxyType({})
NOTHING_ASKED: Final[Mapping[str, Facts]] = MappingProxyType({})


def admit(sequence: Sequence | None, standing: Standing) -> Verdict:
    """Decide one entry. What is refused for certain is refused at once, also where something else is still missing.

    A draft counts as missing: publishing it may already be on its way. A deletion is for good, so its refusal waits
    behind nobody: the erasure waits for it.
    """
    status = sequence.status if sequence is not None else Status.DRAFT
    if status is Status.DELETED:
        return DELETED
    if standing.behind:
        return Missing.BEHIND
    match status:
        case Status.PAUSED:
            return PAUSED
        case Status.CLOSED:
            return NOT_ACTIVE
        case Status.DRAFT | Status.ACTIVE:
            pass
    if standing.blocked:
        return REMOVED
    if not may_enter_again(standing.been, sequence):
        return ALREADY_ENROLLED
    if standing.opted_out:
        return OPTED_OUT
    if sequence is None or sequence.version is None or status is Status.DRAFT:
        return Missing.SEQUENCE
    if standing.contact_offset is None:
        return Missing.CONTACT
    return Entered(
        sequence.version,
        standing.contact_offset,
        again=standing.been is Been.PAST,
        stopped=sequence.rules.stop_when.met(standing.facts),
    )


def may_enter_again(been: Been | None, sequence: Sequence | None) -> bool:
    """Whether no earlier entry keeps it out: none counts, or the last has ended and need not be the only one."""
    once = sequence is None or sequence.rules.enroll_once
    return been is None or (been is Been.PAST and not once)


def not_in(asks: Iterable[Ask], sequences: Mapping[str, Sequence], against: Against) -> list[Ask]:
    """Those that are to be decided where nobody asked for them: who is or was in already is as it should be."""
    return [
        ask
        for ask in asks
        if may_enter_again(against.been.get((ask.sequence_id, ask.contact_id)), sequences.get(ask.sequence_id))
    ]


def scopes_of(sequence_id: str, sequence: Sequence | None) -> list[str]:
    """The scopes whose block keeps a contact out of a sequence."""
    campaign = sequence.campaign if sequence is not None else None
    return [sequence_scope(sequence_id), *([campaign_scope(campaign)] if campaign is not None else ())]


def admit_all(
    asks: Iterable[Ask],
    sequences: Mapping[str, Sequence],
    contacts: Mapping[str, Contact],
    against: Against,
    *,
    facts: Mapping[str, Facts] = NOTHING_ASKED,
    horizons: Mapping[Missing, datetime] = NOBODY_GIVES_UP,
) -> list[Verdict]:
    """Decide many entries in order: a later one sees what an earlier one of the same contact became.

    `facts` of contacts are needed where a sequence has stop conditions. Who has been parked up to the horizon of what
    it waits for, waits no longer.
    """
    scopes: dict[str, list[str]] = {}
    been, waiting = dict(against.been), set(against.behind)
    verdicts: list[Verdict] = []
    for ask in asks:
        sequence_id, contact_id = ask.sequence_id, ask.contact_id
        sequence, contact = sequences.get(sequence_id), contacts[contact_id]
        if sequence_id not in scopes:
            scopes[sequence_id] = scopes_of(sequence_id, sequence)
        standing = Standing(
            contact.source_offset,
            contact.opted_out or contact.opted_out_kept,
            been.get((sequence_id, contact_id)),
            bool(against.blocked) and any((scope, contact_id) in against.blocked for scope in scopes[sequence_id]),
            (ask.key, contact_id) in waiting,
            facts.get(contact_id, NO_FACTS),
        )
        verdict = admit(sequence, standing)
        if isinstance(verdict, Missing) and _late(ask, horizons.get(verdict)):
            verdict = give_up(verdict, sequence)
        if isinstance(verdict, Entered):
            been[sequence_id, contact_id] = Been.LIVE if verdict.stopped is None else Been.PAST
        elif isinstance(verdict, Missing):
            waiting.add((ask.key, contact_id))
        verdicts.append(verdict)
    return verdicts


def _late(ask: Ask, horizon: datetime | None) -> bool:
    return horizon is not None and ask.parked_at is not None and ask.parked_at <= horizon


def give_up(missing: Missing, sequence: Sequence | None) -> Verdict:
    """What becomes of an enroll whose time to wait for `missing` is over."""
    match missing:
        case Missing.SEQUENCE:
            return NOT_FOUND if sequence is None else NOT_ACTIVE
        case Missing.CONTACT:
            return CONTACT_UNKNOWN
        case Missing.BEHIND:
            return missing


Said = ContactEnrolled | EnrollmentRefused | EnrollmentStopped


def announce(ask: Ask, verdict: Verdict, *, via: Via, now: datetime) -> list[Said]:
    """What everyone is told of one contact; nothing while it waits."""
    match verdict:
        case Entered(version, contact_offset, stopped=stopped):
            entry = {
                "enrollment_id": ask.enrollment_id,
                "contact_id": ask.contact_id,
                "sequence_id": ask.sequence_id,
                "version": version,
                "occurred_at": now,
            }
            entered = ContactEnrolled(**entry, via=via, contact_offset=contact_offset)
            return [entered] if stopped is None else [entered, EnrollmentStopped(**entry, reason=stopped)]
        case Refusal(code):
            return [
                EnrollmentRefused(
                    contact_id=ask.contact_id, sequence_id=ask.sequence_id, via=via, code=code, occurred_at=now
                )
            ]
        case Missing():
            return []
