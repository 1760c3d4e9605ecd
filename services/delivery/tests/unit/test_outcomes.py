"""From what a channel said to what is booked and told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from campaign.definition import Step
from delivery.channels.base import Result
from delivery.domain.message import ATTEMPTS_MAX, message_id_of
from delivery.loops.claimer import PLACES_MAX, shares
from delivery.loops.outcomes import RETRY_SECONDS_MAX, Outcomes, ending_of, retry_after
from delivery.store.booking import Ending
from delivery.store.claiming import Claimed
from sluice_contracts.envelope import decode
from sluice_contracts.registry import BY_TYPE

WAIT = timedelta(minutes=10)
NOON = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
ENROLLMENT = "0a0e7a3c-6f0e-8b4e-a1c2-0d9be1f3c001"
OUTCOMES = Outcomes("delivery", WAIT)
NEXT = Step("b", timedelta(hours=1), "webhook", "crm")


def row(**changed: Any) -> Claimed:
    claimed = Claimed(ENROLLMENT, "s", "c", 1, 1, 1, "a", "email:", NOON, 1, (), 7, 0, "email", "{}", "[]", "{}")
    return claimed._replace(**changed)


def told(record: bytes | None) -> tuple[str, dict[str, Any]]:
    """Type and data, having passed the contract; and what is written is what the contract's model writes."""
    envelope = decode(record, [])
    model = BY_TYPE[envelope.type].model_validate(envelope.data)
    assert orjson.loads(model.to_json()) == envelope.data
    assert (envelope.source, envelope.time is not None) == ("delivery", True)
    return envelope.type, envelope.data


@pytest.mark.parametrize(
    ("result", "idempotent", "attempt", "ending"),
    [
        (Result.sent(), False, 1, Ending.SENT),
        (Result.refused("x", "x"), True, 1, Ending.FAILED),
        (Result.retry("x", "x"), False, 1, Ending.RETRY),
        (Result.retry("x", "x"), True, ATTEMPTS_MAX, Ending.FAILED),
        (Result.unknown("x", "x"), True, 1, Ending.RETRY),
        (Result.unknown("x", "x"), True, ATTEMPTS_MAX, Ending.UNKNOWN),
        (Result.unknown("x", "x"), False, 1, Ending.UNKNOWN),
    ],
)
def test_how_a_claim_ends(result: Result, idempotent: bool, attempt: int, ending: Ending) -> None:
    assert ending_of(row(attempt=attempt), result, idempotent=idempotent) is ending


def test_when_the_attempts_run_out_what_may_have_arrived_before_is_unknown() -> None:
    doubtful = row(attempt=ATTEMPTS_MAX)._replace(in_doubt=True)

    assert ending_of(doubtful, Result.retry("x", "x"), idempotent=True) is Ending.UNKNOWN


def test_a_retry_waits_as_the_provider_asks_else_ever_longer_up_to_a_bound() -> None:
    asked = retry_after(1, Result.retry("x", "x", after_seconds=77.0))
    waits = [retry_after(attempt, Result.retry("x", "x")).total_seconds() for attempt in range(1, 40)]

    assert asked == timedelta(seconds=77)
    for attempt, wait in enumerate(waits):
        ceiling = min(RETRY_SECONDS_MAX, 2.0**attempt)
        assert ceiling / 2 <= wait <= ceiling


def test_a_sent_message_is_told_and_the_next_step_is_named() -> None:
    booking = OUTCOMES.booking(row(), Ending.SENT, Result.sent("p-1"), following=NEXT, now=NOON)

    kind, data = told(booking.event)
    assert kind == "MessageSent.v1"
    assert (data["message_id"], data["provider_message_id"]) == (message_id_of(ENROLLMENT, "a"), "p-1")
    assert (booking.next_step, booking.next_lane, booking.next_after) == ("b", "webhook:crm", timedelta(hours=1))
    assert (booking.contact_id, booking.planned_under, booking.notice) == ("c", 1, None)


def test_times_on_a_whole_second_or_in_another_zone_are_written_as_the_contract_says() -> None:
    second = datetime(2026, 3, 1, 12, tzinfo=UTC)
    booking = OUTCOMES.booking(row(due_at=second), Ending.SENT, Result.sent(), now=second)

    _, data = told(booking.event)
    assert data["due_at"] == data["sent_at"] == "2026-03-01T12:00:00.000000Z"


def test_after_the_last_step_the_end_is_told_too() -> None:
    last = row(step_id="b", ended=("a",))
    booking = OUTCOMES.booking(last, Ending.SENT, Result.sent(), now=NOON)

    assert told(booking.event)[0] == "MessageSent.v1"
    assert told(booking.notice)[0] == "StepsFinished.v1"
    assert booking.next_step is None


def test_what_is_unknown_waits_and_nothing_follows_before_it_is_decided() -> None:
    doubtful = Result.unknown("timeout", "no answer")
    booking = OUTCOMES.booking(row(), Ending.UNKNOWN, doubtful, now=NOON)
    again = OUTCOMES.booking(row(attempt=2), Ending.UNKNOWN, doubtful, now=NOON)

    assert told(booking.event) == ("MessageUnknown.v1", {**told(booking.event)[1], "reason": "timeout"})
    assert (booking.retry_after, booking.next_step, booking.notice) == (WAIT, None, None)
    assert decode(booking.event, []).id != decode(again.event, []).id


def test_a_failure_names_why_and_nothing_follows() -> None:
    booking = OUTCOMES.booking(row(), Ending.FAILED, Result.refused("no_address", "it has none"), now=NOON)

    kind, data = told(booking.event)
    assert (kind, data["code"], data["detail"]) == ("MessageFailed.v1", "no_address", "it has none")
    assert (booking.next_step, booking.notice, booking.planned_under) == (None, None, None)


def test_what_a_provider_says_always_fits() -> None:
    booking = OUTCOMES.booking(row(), Ending.SENT, Result.sent("a\x00" + "x" * 9_000), now=NOON)

    assert booking.provider_message_id == ("a" + "x" * 9_000)[:2_000]
    assert told(booking.event)[1]["provider_message_id"] == booking.provider_message_id


def test_the_same_end_is_the_same_event_again() -> None:
    once, again = (OUTCOMES.booking(row(), Ending.SENT, Result.sent(), now=NOON) for _ in range(2))

    assert once.event == again.event


def test_what_was_not_tried_is_told_to_nobody() -> None:
    for booking in (OUTCOMES.released(row(), now=NOON), OUTCOMES.postponed(row(), now=NOON)):
        assert (booking.event, booking.notice) == (None, None)


@pytest.mark.parametrize(("room", "places"), [(10, 3), (2, 7), (1, 1), (16, 16), (500, 1_001)])
def test_a_lane_asks_for_all_of_its_room_and_no_more_in_equal_shares(room: int, places: int) -> None:
    due = [(f"s{number}", "email:") for number in range(places)] + [("s0", "webhook:")]

    asked = shares(due, {"email:": room})

    assert sum(asked.values()) == room
    assert max(asked.values()) - min(asked.values()) <= 1
    assert {lane for _, lane in asked} == {"email:"}
    assert len(asked) == min(room, places, PLACES_MAX)


def test_what_is_not_tried_again_is_told_to_be_unknown_where_an_earlier_attempt_may_have_arrived() -> None:
    doubtful = row(in_doubt=True, attempt=2)

    for booking in (OUTCOMES.released(doubtful, now=NOON), OUTCOMES.held(doubtful, NOON, now=NOON)):
        kind, data = told(booking.event)
        assert (kind, data["reason"], data["attempt"]) == ("MessageUnknown.v1", "enrollment_ended", 2)
