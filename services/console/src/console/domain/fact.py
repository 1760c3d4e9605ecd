"""What a record says about a contact: the row of its timeline, and what it changes of an enrollment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sluice_contracts.base import Message
from sluice_contracts.contacts import ContactOptedOut, ContactReplied
from sluice_contracts.delivery import (
    ContactHalted,
    MessageEvent,
    MessageExpired,
    MessageFailed,
    MessageReported,
    MessageResolved,
    MessageSent,
    MessageUnknown,
    StepsFinished,
    StopConditionMet,
)
from sluice_contracts.enrollment import (
    ContactEnrolled,
    ContactRemoved,
    EnrollmentCompleted,
    EnrollmentEvent,
    EnrollmentFailed,
    EnrollmentRefused,
    EnrollmentStopped,
)

SENT_KINDS: Final = frozenset({"sent", "resolved_sent"})
ENDED_KINDS: Final = frozenset({"sent", "failed", "expired", "resolved_sent", "resolved_failed"})
"""What ends a message; `unknown` does not."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of a timeline."""

    at: datetime
    kind: str
    contact_id: str
    detail: Mapping[str, Any]
    sequence_id: str | None = None
    enrollment_id: str | None = None
    step_id: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is known of an enrollment from one record or several: an entry, a first send, an end."""

    enrollment_id: str
    contact_id: str
    sequence_id: str | None = None
    version: int | None = None
    via: str | None = None
    contact_offset: int | None = None
    enrolled_at: datetime | None = None
    first_sent_at: datetime | None = None
    status: str = "active"
    reason: str | None = None
    ended_at: datetime | None = None

    def merge(self, other: "Change") -> "Change":
        """Both together, whichever came first: an entry is an entry, the first send is the earliest, so is the end."""
        merged = self
        if other.enrolled_at is not None:
            merged = replace(
                merged,
                version=other.version,
                via=other.via,
                contact_offset=other.contact_offset,
                enrolled_at=other.enrolled_at,
            )
        if merged.sequence_id is None:
            merged = replace(merged, sequence_id=other.sequence_id)
        if other.first_sent_at is not None:
            first = min(other.first_sent_at, merged.first_sent_at or other.first_sent_at)
            merged = replace(merged, first_sent_at=first)
        if other.ended_at is not None and (
            merged.ended_at is None or (other.ended_at, other.status) < (merged.ended_at, merged.status)
        ):
            merged = replace(merged, status=other.status, reason=other.reason, ended_at=other.ended_at)
        return merged


def fact_of(data: Message) -> Fact:
    """The timeline's row; KeyError where the type is not one about a contact."""
    return _FACTS[type(data)](data)


def changes_of(data: Message) -> tuple[Change, ...]:
    """What a record changes of enrollments; most change none."""
    match data:
        case ContactEnrolled():
            entered = Change(
                data.enrollment_id,
                data.contact_id,
                data.sequence_id,
                version=data.version,
                via=data.via,
                contact_offset=data.contact_offset,
                enrolled_at=data.occurred_at,
            )
            return (entered,)
        case MessageSent():
            return (_change(data, first_sent_at=data.occurred_at),)
        case MessageResolved() if data.outcome == "sent":
            return (_change(data, first_sent_at=data.occurred_at),)
        case EnrollmentCompleted():
            return (_change(data, status="completed", ended_at=data.occurred_at),)
        case EnrollmentFailed():
            return (_change(data, status="failed", ended_at=data.occurred_at),)
        case EnrollmentStopped():
            return (_change(data, status="stopped", reason=data.reason, ended_at=data.occurred_at),)
        case ContactRemoved():
            return tuple(
                Change(one, data.contact_id, data.sequence_id, status="removed", ended_at=data.occurred_at)
                for one in data.enrollment_ids
            )
        case _:
            return ()


def _change(data: EnrollmentEvent, **what: Any) -> Change:
    return Change(data.enrollment_id, data.contact_id, data.sequence_id, **what)


def _of_enrollment(kind: str, *names: str) -> Callable[[Any], Fact]:
    def fact(data: Any) -> Fact:
        detail = {name: found for name in names if (found := getattr(data, name)) is not None}
        detail["version"] = data.version
        return Fact(data.occurred_at, kind, data.contact_id, detail, data.sequence_id, data.enrollment_id)

    return fact


def _of_message(kind: str | None, *names: str, kind_by: str | None = None, prefix: str = "") -> Callable[[Any], Fact]:
    wanted = ("message_id", "channel", "attempt", "version", *names)

    def fact(data: MessageEvent) -> Fact:
        fields = data.__dict__
        detail = {name: fields[name] for name in wanted if fields[name] is not None}
        name = kind or prefix + fields[kind_by or ""]
        return Fact(data.occurred_at, name, data.contact_id, detail, data.sequence_id, data.enrollment_id, data.step_id)

    return fact


def _refused(data: EnrollmentRefused) -> Fact:
    return Fact(data.occurred_at, "refused", data.contact_id, {"via": data.via, "code": data.code}, data.sequence_id)


def _removed(data: ContactRemoved) -> Fact:
    detail = {"removal_id": data.removal_id, "enrollment_ids": data.enrollment_ids, "allow_reentry": data.allow_reentry}
    if data.campaign is not None:
        detail["campaign"] = data.campaign
    return Fact(data.occurred_at, "removed", data.contact_id, detail, data.sequence_id)


def _halted(data: ContactHalted) -> Fact:
    detail = {
        "removal_id": data.removal_id,
        "enrollment_ids": data.enrollment_ids,
        "dropped": data.dropped,
        "in_flight": data.in_flight,
    }
    return Fact(data.halted_at, "halted", data.contact_id, detail)


def _replied(data: ContactReplied) -> Fact:
    detail = {"channel": data.channel} | ({} if data.message_id is None else {"message_id": data.message_id})
    return Fact(data.occurred_at, "replied", data.contact_id, detail)


def _opted_out(data: ContactOptedOut) -> Fact:
    return Fact(
        data.occurred_at, "opted_out", data.contact_id, {} if data.channel is None else {"channel": data.channel}
    )


_FACTS: Final[dict[type[Message], Callable[[Any], Fact]]] = {
    ContactEnrolled: _of_enrollment("enrolled", "via"),
    EnrollmentRefused: _refused,
    EnrollmentCompleted: _of_enrollment("completed"),
    EnrollmentFailed: _of_enrollment("undeliverable", "code", "detail"),
    EnrollmentStopped: _of_enrollment("stopped", "reason"),
    ContactRemoved: _removed,
    MessageSent: _of_message("sent", "due_at"),
    MessageFailed: _of_message("failed", "code", "detail"),
    MessageExpired: _of_message("expired", "reason"),
    MessageUnknown: _of_message("unknown", "reason"),
    MessageReported: _of_message(None, kind_by="report"),
    MessageResolved: _of_message(None, "by", kind_by="outcome", prefix="resolved_"),
    StopConditionMet: _of_enrollment("condition", "condition", "contact_version", "sequence_version"),
    StepsFinished: _of_enrollment("finished"),
    ContactHalted: _halted,
    ContactReplied: _replied,
    ContactOptedOut: _opted_out,
}
