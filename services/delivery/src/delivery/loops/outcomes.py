"""From what a channel said to what is booked: how the claim ended, the event, and the step that follows."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from campaign.conditions import StopReason
from campaign.definition import Step
from messaging import derive
from sluice_contracts.base import format_timestamp
from sluice_contracts.delivery import MessageFailed, MessageSent, MessageUnknown, StepsFinished, StopConditionMet

from delivery.channels.base import Outcome, Result
from delivery.domain.message import ATTEMPTS_MAX, ENROLLMENT_ENDED, message_id_of
from delivery.store.booking import Booking, Ending
from delivery.store.claiming import Claimed

RETRY_SECONDS_BASE: Final = 1.0
RETRY_SECONDS_MAX: Final = 900.0
POSTPONED_SECONDS: Final = 5.0
PROVIDER_TEXT_LENGTH_MAX: Final = 2_000

Time = datetime | str
"""A moment, as orjson is to write it."""

_ENDINGS: Final = {
    Outcome.REFUSED: Ending.FAILED,
    Outcome.RETRY: Ending.RETRY,
    Outcome.UNKNOWN: Ending.UNKNOWN,
}


def ending_of(row: Claimed, result: Result, *, idempotent: bool) -> Ending:
    """How a claim ended. What may have arrived is tried again only where the receiver honours our key."""
    outcome = result.outcome
    if outcome is Outcome.SENT:
        return Ending.SENT
    again = outcome is Outcome.RETRY or (outcome is Outcome.UNKNOWN and idempotent)
    if not again:
        return _ENDINGS[outcome]
    if row.attempt < ATTEMPTS_MAX:
        return Ending.RETRY
    return Ending.UNKNOWN if row.in_doubt or outcome is Outcome.UNKNOWN else Ending.FAILED


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Makes bookings. `source` is what the ids of events are derived from."""

    source: str
    unknown_wait: timedelta
    """So long an unknown message waits for the provider's report."""

    def released(self, row: Claimed, *, now: datetime) -> Booking:
        """Nothing was tried: as if it had not been claimed."""
        return self._untried(row, Ending.RELEASED, now)

    def postponed(self, row: Claimed, *, now: datetime) -> Booking:
        """Nothing could be tried yet: as if it had not been claimed, but later."""
        booking = self._untried(row, Ending.POSTPONED, now)
        booking.retry_after = timedelta(seconds=POSTPONED_SECONDS * random.uniform(0.5, 1.0))
        return booking

    def held(self, row: Claimed, opens_at: datetime, *, now: datetime) -> Booking:
        """It may leave when its window opens."""
        booking = self._looked_at(row, Ending.HELD, now)
        booking.opens_at = opens_at
        return booking

    def withheld(self, row: Claimed, condition: StopReason, *, now: datetime) -> Booking:
        """A condition holds that ends its enrollment, which is told; each look is told once."""
        booking = self._looked_at(row, Ending.WITHHELD, now)
        at = _time(now)
        data = _of_enrollment(row, row.version, at)
        data["condition"] = condition
        data["contact_version"] = row.contact_version
        data["sequence_version"] = row.effective
        booking.notice = self._encode(StopConditionMet.TYPE, data, f"{row.enrollment_id}:{row.token}", at)
        return booking

    def _untried(self, row: Claimed, ending: Ending, now: datetime) -> Booking:
        """Where its enrollment has ended meanwhile, what an earlier attempt may have brought there is unknown."""
        booking = _booking(row, ending)
        if row.in_doubt:
            booking.code = ENROLLMENT_ENDED
            booking.event = self._event(row, booking, _time(now))
        return booking

    def _looked_at(self, row: Claimed, ending: Ending, now: datetime) -> Booking:
        booking = self._untried(row, ending, now)
        booking.planned_under, booking.contact_at = row.effective, row.contact_at
        return booking

    def booking(
        self, row: Claimed, ending: Ending, result: Result, *, now: datetime, following: Step | None = None
    ) -> Booking:
        """What became of one message; `now` is the database's clock, `following` what comes after one that was sent,
        in the version that its enrollment runs under, as the claim saw it."""
        booking = _booking(row, ending)
        booking.code, booking.detail = result.code, result.detail
        at = _time(now)
        if ending is Ending.RETRY:
            booking.retry_after = retry_after(row.attempt, result)
            booking.in_doubt = row.in_doubt or result.outcome is Outcome.UNKNOWN
            if booking.in_doubt:
                booking.event = self._event(row, booking, at)  # said where nothing is tried again after all
            return booking
        booking.provider_message_id = _storable(result.provider_message_id)
        booking.event = self._event(row, booking, at)
        if ending is Ending.SENT:
            booking.planned_under = row.effective
            if following is not None:
                booking.next_step, booking.next_lane = following.step_id, following.lane
                booking.next_after = following.after
            else:
                data = _of_enrollment(row, row.effective, at)
                booking.notice = self._encode(StepsFinished.TYPE, data, row.enrollment_id, at)
        elif ending is Ending.UNKNOWN:
            booking.retry_after = self.unknown_wait
        return booking

    def _event(self, row: Claimed, booking: Booking, at: Time) -> bytes:
        data = _of_enrollment(row, row.version, at)
        data["message_id"] = booking.message_id
        data["step_id"] = row.step_id
        data["channel"] = row.channel
        data["attempt"] = row.attempt
        if booking.ending is Ending.SENT:
            data["due_at"] = _time(row.due_at)
            data["sent_at"] = at
            if booking.provider_message_id is not None:
                data["provider_message_id"] = booking.provider_message_id
            return self._encode(MessageSent.TYPE, data, booking.message_id, at)
        if booking.ending is Ending.FAILED:
            data["code"] = booking.code or "refused"
            data["detail"] = booking.detail or "refused"
            return self._encode(MessageFailed.TYPE, data, booking.message_id, at)
        data["reason"] = booking.code or "unknown"
        # It may be sent again, and be unknown again.
        return self._encode(MessageUnknown.TYPE, data, booking.message_id, at, str(row.attempt))

    def _encode(self, kind: str, data: dict[str, Any], row_id: str, at: Time, *more: str) -> bytes:
        """The record, its id derived from the row and its type: a row ends once, so an event is said once.

        What the contract's models write, without making one per message (a third of all that a message costs here).
        """
        record = {
            "specversion": "1.0",
            "id": derive(self.source, row_id, kind, *more),
            "type": kind,
            "source": self.source,
            "time": at,
            "datacontenttype": "application/json",
            "correlationid": row_id,
            "causationid": row_id,
            "data": data,
        }
        return orjson.dumps(record, option=orjson.OPT_UTC_Z)


def _booking(row: Claimed, ending: Ending) -> Booking:
    message_id = message_id_of(row.enrollment_id, row.step_id)
    return Booking(row.enrollment_id, row.contact_id, row.token, ending, message_id, row.channel, row.due_at)


def _of_enrollment(row: Claimed, version: int, at: Time) -> dict[str, Any]:
    return {
        "enrollment_id": row.enrollment_id,
        "contact_id": row.contact_id,
        "sequence_id": row.sequence_id,
        "version": version,
        "occurred_at": at,
    }


def _time(moment: datetime) -> Time:
    """For orjson, which writes times as the contract does unless they fall on a whole second or are not in UTC."""
    return moment if moment.microsecond and moment.tzinfo is UTC else format_timestamp(moment)


def _storable(text: str | None) -> str | None:
    """What a provider said, as the database and the contract take it."""
    return None if text is None else text.replace("\0", "")[:PROVIDER_TEXT_LENGTH_MAX]


def retry_after(attempt: int, result: Result) -> timedelta:
    """As the provider asks, else doubling, capped and jittered."""
    if result.retry_after_seconds is not None:
        return timedelta(seconds=result.retry_after_seconds)
    capped = min(RETRY_SECONDS_MAX, RETRY_SECONDS_BASE * 2 ** (attempt - 1))
    return timedelta(seconds=capped * random.uniform(0.5, 1.0))
