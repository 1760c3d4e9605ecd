"""From what a channel said to what is booked: how the claim ended, the event, and the step that follows."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from messaging import derive
from sluice_contracts.base import Event
from sluice_contracts.delivery import MessageFailed, MessageSent, MessageUnknown, StepsFinished
from sluice_contracts.envelope import Envelope, encode

from delivery.channels.base import Outcome, Result
from delivery.domain.plan import next_step
from delivery.loops.contents import Contents
from delivery.store.booking import Booking, Ending
from delivery.store.claiming import Claimed

ATTEMPTS_MAX: Final = 12
RETRY_SECONDS_BASE: Final = 1.0
RETRY_SECONDS_MAX: Final = 900.0

_ENDINGS: Final = {
    Outcome.SENT: Ending.SENT,
    Outcome.REFUSED: Ending.FAILED,
    Outcome.RETRY: Ending.RETRY,
    Outcome.UNKNOWN: Ending.UNKNOWN,
}


def ending_of(row: Claimed, result: Result, *, idempotent: bool) -> Ending:
    """How a claim ended. What may have arrived is tried again only where the receiver honours our key."""
    outcome = result.outcome
    again = outcome is Outcome.RETRY or (outcome is Outcome.UNKNOWN and idempotent)
    if not again:
        return _ENDINGS[outcome]
    if row.attempt < ATTEMPTS_MAX:
        return Ending.RETRY
    return Ending.UNKNOWN if outcome is Outcome.UNKNOWN else Ending.FAILED


def message_id_of(row: Claimed) -> str:
    """The message's id, which is its idempotency key: the same in every attempt."""
    return derive(row.enrollment_id, row.step_id)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Makes bookings. `source` is what the ids of events are derived from."""

    source: str
    contents: Contents

    def released(self, row: Claimed) -> Booking:
        """Nothing was tried: as if it had not been claimed."""
        return self._booking(row, Ending.RELEASED)

    def booking(self, row: Claimed, ending: Ending, result: Result, *, now: datetime) -> Booking:
        """What became of one message; `now` is the database's clock."""
        booking = self._booking(row, ending)
        booking.code, booking.detail = result.code, result.detail
        booking.provider_message_id = result.provider_message_id
        if ending is Ending.RETRY:
            booking.retry_after = retry_after(row.attempt, result)
            return booking
        booking.key = row.contact_id.encode()
        booking.event = self._event(row, ending, result, message_id=booking.message_id, now=now)
        if ending is not Ending.FAILED:
            self._plan(row, booking, now)
        return booking

    def _booking(self, row: Claimed, ending: Ending) -> Booking:
        return Booking(row.enrollment_id, row.token, str(ending), message_id_of(row), row.channel, row.due_at)

    def _plan(self, row: Claimed, booking: Booking, now: datetime) -> None:
        """What comes after this step in the newest version that the claim saw."""
        newest = self.contents.steps(row.sequence_id, row.newest)
        if newest is None:
            return  # it is planned again, by who has the definition
        step = next_step(
            newest,
            after_step=row.step_id,
            step_id=None,
            ended=(*row.ended, row.step_id),
            previous=self.contents.steps(row.sequence_id, row.version),
        )
        booking.planned_under = row.newest
        if step is not None:
            booking.next_step, booking.next_lane, booking.next_after = step.step_id, step.lane, step.after
        else:
            finished = StepsFinished(**_of_enrollment(row, row.newest, now))
            booking.finished = self._encode(finished, row.enrollment_id, now)

    def _event(self, row: Claimed, ending: Ending, result: Result, *, message_id: str, now: datetime) -> bytes:
        fields = {
            **_of_enrollment(row, row.version, now),
            "message_id": message_id,
            "step_id": row.step_id,
            "channel": row.channel,
            "attempt": row.attempt,
        }
        event: MessageSent | MessageFailed | MessageUnknown
        if ending is Ending.SENT:
            event = MessageSent(
                **fields, due_at=row.due_at, sent_at=now, provider_message_id=result.provider_message_id
            )
        elif ending is Ending.FAILED:
            event = MessageFailed(**fields, code=result.code or "refused", detail=result.detail or "refused")
        else:
            event = MessageUnknown(**fields, reason=result.code or "unknown")
        return self._encode(event, message_id, now)

    def _encode(self, event: Event, row_id: str, now: datetime) -> bytes:
        """The event, its id derived from the row and its type: a row ends once, so an event is said once."""
        envelope = Envelope(
            id=derive(self.source, row_id, event.TYPE),
            source=self.source,
            type=event.TYPE,
            time=now,
            correlation_id=row_id,
            causation_id=row_id,
        )
        return encode(envelope, event.to_json())


def _of_enrollment(row: Claimed, version: int, now: datetime) -> Mapping[str, Any]:
    return {
        "enrollment_id": row.enrollment_id,
        "contact_id": row.contact_id,
        "sequence_id": row.sequence_id,
        "version": version,
        "occurred_at": now,
    }


def retry_after(attempt: int, result: Result) -> timedelta:
    """As the provider asks, else doubling, capped and jittered."""
    if result.retry_after_seconds is not None:
        return timedelta(seconds=result.retry_after_seconds)
    capped = min(RETRY_SECONDS_MAX, RETRY_SECONDS_BASE * 2 ** (attempt - 1))
    return timedelta(seconds=capped * random.uniform(0.5, 1.0))
