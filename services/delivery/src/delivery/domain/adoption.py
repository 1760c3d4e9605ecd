"""What delivery makes of what it has said of messages, where its database has lost it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from sluice_contracts.delivery import (
    MessageEvent,
    MessageExpired,
    MessageFailed,
    MessageResolved,
    MessageSent,
    MessageUnknown,
    StepsFinished,
)
from sluice_contracts.enrollment import EnrollmentEvent

from delivery.domain.books import NOTHING, PLANNED, RESOLVED, UNPLANNED, Books
from delivery.domain.message import ENROLLMENT_ENDED, Ended

Place = Literal["pending", "claimed", "unknown"]
TOLD: Final = (MessageSent, MessageFailed, MessageExpired, MessageUnknown, MessageResolved, StepsFinished)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A step whose message may have arrived, and that waits until that is decided."""

    step_id: str
    version: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an enrollment stands: its row in the queue, or what is kept for when it is heard of again."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    here: bool = False
    """It has a row."""
    place: Place | None = None
    """Where the books have its present message; None where nothing is planned for it."""
    halted: bool = False
    ended: tuple[str, ...] = ()
    ended_at: datetime | None = None
    """When the last step ended; None where that is not told."""
    doubt: Doubt | None = None
    attempt: int = 0
    over: bool = False
    """Nothing is sent to it any more."""
    changed: bool = False
    books: Books = field(default=NOTHING)


Known = Mapping[str, tuple[str, int]]
"""Outcome and attempt of messages that have ended, by id."""
Changes = dict[str, Ended | None]
"""What the history is to say of messages; None where it is to say nothing."""


def adopt(standing: Standing, told: Iterable[EnrollmentEvent], known: Known, changes: Changes) -> Standing:
    """Follow what was told of one enrollment, in its order; what is known already is passed over."""
    for event in told:
        match event:
            case StepsFinished():
                standing = _finish(standing)
            case MessageResolved():
                standing = _resolve(standing, event, known, changes)
            case MessageEvent():
                standing = _end(standing, event, known, changes)
    return standing


def _outcome_of(message_id: str, known: Known, changes: Changes) -> tuple[str, int] | None:
    if message_id in changes:
        changed = changes[message_id]
        return None if changed is None else (changed.outcome, changed.attempt)
    return known.get(message_id)


def _end(standing: Standing, event: MessageEvent, known: Known, changes: Changes) -> Standing:
    """A message ended: it is never sent again, whatever comes."""
    if _outcome_of(event.message_id, known, changes) is not None:
        return standing
    ended = ended_of(event)
    changes[event.message_id] = ended
    placed: dict[str, int] = {"planned": 1} if standing.place is None else {str(standing.place): -1}
    books = Books(**placed) + Books(**{ended.outcome: 1})
    standing = replace(standing, books=standing.books + books, place=None, changed=True, attempt=0, doubt=None)
    match event:
        case MessageFailed():
            return replace(standing, over=True)
        case MessageUnknown(reason=reason) if reason == ENROLLMENT_ENDED or standing.halted:
            return replace(standing, over=True)
        case MessageUnknown():
            return replace(standing, place="unknown", doubt=Doubt(event.step_id, event.version, event.attempt))
        case _:
            return _go_on(standing, event.step_id, ended.ended_at)


def _resolve(standing: Standing, event: MessageResolved, known: Known, changes: Changes) -> Standing:
    """What was unknown was decided."""
    if _outcome_of(event.message_id, known, changes) != ("unknown", event.attempt):
        return standing
    waits = standing.place == "unknown"
    standing = replace(standing, books=standing.books + RESOLVED[event.outcome], doubt=None, changed=True)
    if event.outcome == "retry":
        changes[event.message_id] = None
        again = replace(standing, place="pending", attempt=event.attempt)
        return again if standing.here else replace(again, place=None, books=again.books + UNPLANNED)
    changes[event.message_id] = replace(
        ended_of(event), outcome=event.outcome, resolved_at=event.occurred_at, resolved_by=event.by
    )
    standing = replace(standing, place=None)
    if event.outcome == "failed":
        return replace(standing, over=True)
    return _go_on(standing, event.step_id, event.occurred_at) if waits else replace(standing, over=standing.here)


def _go_on(standing: Standing, step_id: str, at: datetime) -> Standing:
    """The next step counts from now, where the enrollment lives; what it is, is planned as for anyone."""
    if standing.halted:
        return replace(standing, over=True)
    ended = standing.ended if step_id in standing.ended else (*standing.ended, step_id)
    standing = replace(standing, ended=ended, ended_at=at)
    return replace(standing, place="pending", books=standing.books + PLANNED) if standing.here else standing


def _finish(standing: Standing) -> Standing:
    if standing.over:
        return standing
    books = UNPLANNED if standing.place == "pending" else NOTHING
    return replace(standing, over=True, place=None, books=standing.books + books, changed=True)


def ended_of(event: MessageEvent) -> Ended:
    """The message that an event is about, ended as it says; a resolution's was unknown."""
    outcome, code, detail = "sent", None, None
    match event:
        case MessageFailed():
            outcome, code, detail = "failed", event.code, event.detail
        case MessageExpired():
            outcome, code = "expired", event.reason
        case MessageUnknown():
            outcome, code = "unknown", event.reason
    sent = event if isinstance(event, MessageSent) else None
    return Ended(
        message_id=event.message_id,
        enrollment_id=event.enrollment_id,
        sequence_id=event.sequence_id,
        contact_id=event.contact_id,
        step_id=event.step_id,
        version=event.version,
        channel=event.channel,
        outcome=outcome,
        code=code,
        detail=detail,
        attempt=event.attempt,
        due_at=None if sent is None else sent.due_at,
        ended_at=event.occurred_at if sent is None else sent.sent_at,
        provider_message_id=None if sent is None else sent.provider_message_id,
    )
