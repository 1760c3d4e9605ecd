"""What was done right passes, and each way to break a promise is found, by name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messaging import derive
from sluice_contracts import topics
from sluice_contracts.base import format_timestamp, parse_timestamp
from testkit.checker import INVARIANTS, History, check, judge
from testkit.checker.facts import Facts
from testkit.checker.history import Found, Row, Span
from testkit.checker.invariants.stops import residue

from .ideal import OPENED, PUT_BACK, SEQUENCE, START, Ideal
from .mutations import (
    SECOND,
    about,
    accepted,
    another_key,
    another_state,
    another_state_of_one_id,
    answered_otherwise,
    answered_while_catching_up,
    arriving,
    booked,
    came_back,
    canary_left,
    data,
    deaf_and_sending,
    ended_otherwise,
    entered_after_closing,
    entered_again,
    entered_while_catching_up,
    erased_again,
    events,
    expired,
    given_up,
    heard_otherwise,
    in_doubt,
    in_twice,
    kept_otherwise,
    key_elsewhere,
    lost_step,
    never_entered,
    never_heard,
    no_poison,
    not_removed,
    not_set_aside,
    not_stopped,
    nothing_to_compare,
    older_state_again,
    older_state_later,
    other_bytes,
    other_headers,
    out_before_in,
    put_back_with,
    receipt_for_fewer,
    receipt_for_others,
    receipt_forgotten,
    refused_and_failed,
    refused_and_not_kept,
    refused_and_sent,
    refused_otherwise,
    refused_too_early,
    removed_and_completed,
    rows_left,
    said_and_not_sent,
    said_later,
    second_answer,
    sent_after_removal,
    sent_again,
    sent_while_catching_up,
    sent_while_paused,
    sent_while_suspended,
    shortened_delay,
    skipped_step,
    slow_neighbour,
    state_behind_its_tombstone,
    stopped_otherwise,
    stopped_too_late,
    swapped,
    told,
    told_again_otherwise,
    too_early,
    twice,
    two_ends,
    two_rows,
    without,
)


def broken(history: History) -> set[str]:
    return {name for name, violations in judge(history).items() if violations}


def test_what_was_done_right_passes() -> None:
    assert check(Ideal().history()) is None


@given(
    delays=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    pauses=st.lists(st.tuples(st.floats(1.1, 3), st.floats(0.5, 5), st.booleans()), max_size=3),
    contacts=st.integers(1, 4),
)
def test_whatever_the_delays_and_pauses_are(
    delays: list[int], pauses: list[tuple[float, float, bool]], contacts: int
) -> None:
    after, placed = 0.0, []
    for gap, lasts, shifted in pauses:
        after += gap
        placed.append((after, lasts, shifted))
        after += lasts

    found = check(Ideal(delays=delays, contacts=contacts, pauses=placed).history())

    assert found is None


def test_a_history_that_was_kept_is_the_same_when_it_is_read(tmp_path: Path) -> None:
    history = Ideal().history(
        frozen=(Span("sender-1", START, START + SECOND, "after-claim"),),
        held=(Span("sink-http", START, START + SECOND),),
        found=(Found("w", "t", 1),),
    )
    history = arriving(history, replace(history.arrivals[0], begun_at=START))
    history = put_back_with(history, "delivery", found_at=None, opened_at=None)

    history.write(tmp_path)

    assert History.read(tmp_path) == history


@pytest.mark.parametrize(
    ("invariant", "mutate"),
    [
        ("I1", lost_step),
        ("I1", skipped_step),
        ("I1", never_entered),
        ("I1", removed_and_completed),
        ("I1", lambda history: kept_otherwise(history, "enrollment.enrollment", status="active")),
        ("I1", lambda history: kept_otherwise(history, "enrollment.enrollment", enrollment_id="nobody")),
        ("I2", sent_while_paused),
        ("I2", sent_after_removal),
        ("I2", sent_while_suspended),
        ("I2", entered_after_closing),
        ("I2", came_back),
        ("I2", lambda history: without(history, "ContactHalted")),
        ("I2", lambda history: without(history, "SequenceHalted")),
        ("I2", lambda history: without(history, "SequenceStopped")),
        ("I2", lambda history: without(history, "DeliverySuspended")),
        ("I2", lambda history: not_stopped(history, "PauseSequence")),
        ("I2", lambda history: not_stopped(history, "DeleteSequence")),
        ("I2", not_removed),
        ("I2", lambda history: stopped_otherwise(history, dropped=1)),
        ("I2", lambda history: stopped_otherwise(history, halted_at=format_timestamp(START))),
        ("I2", stopped_too_late),
        ("I2", receipt_for_fewer),
        ("I2", receipt_for_others),
        ("I2b", deaf_and_sending),
        ("I3", lambda history: twice(history, "webhook")),
        ("I3", lambda history: twice(history, "email")),
        ("I3", another_key),
        ("I3", in_twice),
        ("I4", too_early),
        ("I4", refused_too_early),
        ("I4", swapped),
        ("I5", two_ends),
        ("I5", two_rows),
        ("I5", lambda history: refused_and_failed(history, 2)),
        ("I5", lambda history: refused_and_failed(history, 0)),
        ("I5", refused_and_not_kept),
        ("I5", refused_and_sent),
        ("I5", given_up),
        ("I5", lambda history: expired(history, is_told=True, row=None)),
        ("I5", lambda history: expired(history, is_told=True, row="failed")),
        ("I5", lambda history: expired(history, is_told=False, row="expired")),
        ("I5", lambda history: in_doubt(history, calm=True)),
        ("I5", said_and_not_sent),
        ("I5", lambda history: booked(history, planned=1, sent=1)),
        ("I5", lambda history: booked(history, planned=1, pending=1)),
        ("I5", lambda history: booked(history, dropped=-1)),
        ("I5", lambda history: without(history, "MessageSent")),
        ("I6", older_state_later),
        ("I6", older_state_again),
        ("I6", state_behind_its_tombstone),
        ("I6", key_elsewhere),
        ("I6", out_before_in),
        ("I6", lambda history: kept_otherwise(history, "delivery.gate", open=False)),
        ("I6", lambda history: kept_otherwise(history, "sequences.sequence", epoch=1)),
        ("I7", shortened_delay),
        ("I8", rows_left),
        ("I9", other_bytes),
        ("I9", not_set_aside),
        ("I9", other_headers),
        ("I9", lambda history: no_poison(history, kind="ignored")),
        ("I9", lambda history: no_poison(history, untroubled=("enrollment",))),
        ("I9", refused_otherwise),
        ("I9", slow_neighbour),
        ("I9", nothing_to_compare),
        ("I10", canary_left),
        ("I10", lambda history: without(history, "SequenceErasureCompleted")),
        ("I11", second_answer),
        ("I11", answered_otherwise),
        ("I11", lambda history: told_again_otherwise(history, "MessageSent", attempt=2)),
        ("I11", another_state_of_one_id),
        ("I11", heard_otherwise),
        ("I11", never_heard),
        ("I11", lambda history: without(history, "CommandAccepted")),
        ("I12", lambda history: put_back_with(history, "sequences", found_at=None, opened_at=None)),
        ("I12", lambda history: put_back_with(history, "enrollment", opened_at=None)),
        ("I12", sent_again),
        ("I12", sent_while_catching_up),
        ("I12", receipt_forgotten),
        ("I12", answered_while_catching_up),
        ("I12", entered_while_catching_up),
        ("I12", entered_again),
        ("I12", ended_otherwise),
        ("I12", another_state),
        ("I12", another_state_of_one_id),
    ],
)
def test_a_broken_promise_is_found_by_name(invariant: str, mutate: Callable[[History], History]) -> None:
    history = Ideal().history()
    assert invariant not in broken(history)

    changed = mutate(history)

    assert invariant in broken(changed)


def test_every_promise_is_broken_by_a_test() -> None:
    marks = test_a_broken_promise_is_found_by_name.pytestmark  # type: ignore[attr-defined]
    cases = next(one for one in marks if one.name == "parametrize").args[1]

    assert {invariant for invariant, _ in cases} == INVARIANTS.keys()


def test_the_attempt_that_was_told_of_may_come_a_moment_after_its_sender_looked_at_the_clock() -> None:
    history = Ideal().history()
    sent = history.arrivals[0]
    assert data(history, "MessageSent")["message_id"] == sent.message_id
    history = told(history, "MessageSent", sent_at=sent.at - SECOND / 20)
    refused = replace(sent, at=sent.at - SECOND / 200, accepted=False, outcome="failed")

    assert "I4" not in broken(replace(history, arrivals=(refused, *history.arrivals)))


def test_a_send_of_a_frozen_process_is_counted_and_no_violation() -> None:
    history = sent_while_paused(Ideal().history())
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    frozen = Span("sender-1", halted - SECOND, halted + SECOND * 0.99)
    history = replace(history, run=replace(history.run, frozen=(frozen,)))

    assert "I2" not in broken(history)
    assert [round(one.seconds, 1) for one in residue(Facts(history))] == [1.0]


def test_a_frozen_process_excuses_one_webhook_alone() -> None:
    history = sent_while_paused(Ideal().history())
    late = history.arrivals[-1]
    history = arriving(history, replace(late, at=late.at + SECOND / 100))
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    frozen = Span("sender-1", halted - SECOND, halted + SECOND * 0.99)
    history = replace(history, run=replace(history.run, frozen=(frozen,)))

    assert len(judge(history)["I2"]) == 1


def test_who_stood_still_before_their_last_look_sends_no_webhook_late() -> None:
    history = sent_while_paused(Ideal().history())
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    frozen = Span("sender-1", halted - SECOND, halted + SECOND * 0.99, "after-claim")
    history = replace(history, run=replace(history.run, frozen=(frozen,)))

    assert len(judge(history)["I2"]) == 1


@pytest.mark.parametrize(("message", "violations"), [(0, 0), (1, 1)])
def test_who_stood_still_behind_their_last_look_sends_that_message_alone(message: int, violations: int) -> None:
    history = sent_while_paused(Ideal().history())
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    about_to_send = history.arrivals[message].message_id
    frozen = Span("sender-1", halted - SECOND, halted + SECOND * 0.99, "before-first-byte", about_to_send)
    history = replace(history, run=replace(history.run, frozen=(frozen,)))

    assert len(judge(history)["I2"]) == violations


@pytest.mark.parametrize(("begun", "violations"), [(-SECOND, 0), (SECOND, 1)])
def test_a_mail_under_way_when_its_sender_was_frozen_is_excused(begun: timedelta, violations: int) -> None:
    history = sent_while_paused(Ideal().history())
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    frozen = Span("sender-1", halted - SECOND, halted + SECOND * 0.99, "after-claim")
    late = replace(history.arrivals[-1], channel="email", begun_at=frozen.since + begun)
    history = replace(history, arrivals=(*history.arrivals[:-1], late), run=replace(history.run, frozen=(frozen,)))

    assert len(judge(history)["I2"]) == violations


@pytest.mark.parametrize(
    ("is_told", "begun", "frozen_after", "holds"),
    [
        (True, -SECOND, timedelta(), True),
        (True, SECOND, timedelta(), False),
        (True, -SECOND, SECOND / 20, False),
        (False, -SECOND, timedelta(), False),
    ],
)
def test_a_mail_under_way_when_its_sender_was_frozen_may_come_after_the_next_step_where_it_was_told_to_be_unknown(
    is_told: bool, begun: timedelta, frozen_after: timedelta, holds: bool
) -> None:
    ideal = Ideal(contacts=1, pauses=()).history()
    history = in_doubt(ideal) if is_told else ideal
    first, mail, after = history.arrivals
    frozen = Span("sender-1", mail.at + frozen_after, after.at + SECOND / 10, "before-result")
    late = replace(mail, at=frozen.until + SECOND / 10, begun_at=frozen.since + begun)
    history = replace(history, arrivals=(first, after, late), run=replace(history.run, frozen=(frozen,)))

    assert ("I4" not in broken(history)) is holds


@pytest.mark.parametrize(("held_from", "violations"), [(-SECOND, 0), (SECOND * 10, 1)])
def test_a_send_looks_late_only_while_the_network_holds_bytes_back(held_from: timedelta, violations: int) -> None:
    history = sent_while_paused(Ideal().history())
    late = history.arrivals[-1].at
    held = Span("sink-http", late + held_from, late + held_from + SECOND)
    history = replace(history, run=replace(history.run, held=(held,), sink_lag_seconds=3.0))

    assert len(judge(history)["I2"]) == violations


def test_what_was_refused_and_failed_once_is_right() -> None:
    assert "I5" not in broken(refused_and_failed(Ideal().history(), 1))


def test_what_expired_and_is_told_and_kept_is_right() -> None:
    assert "I5" not in broken(expired(Ideal().history(), is_told=True, row="expired"))


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("SequenceHalted", {"dropped": 7}),
        ("EntryClosed", {"closed_at": OPENED}),
        ("SequencePaused", {"receipts": {}}),
    ],
)
def test_a_stop_that_is_heard_again_after_a_put_back_may_get_another_receipt_under_its_id(
    name: str, changed: dict[str, object]
) -> None:
    assert "I11" not in broken(told_again_otherwise(Ideal().history(), name, **changed))


def test_an_erasure_that_is_done_again_after_a_put_back_counts_what_it_finds_then() -> None:
    history = erased_again(Ideal().history())

    assert "I11" not in broken(history)
    assert "I11" in broken(replace(history, run=replace(history.run, put_backs=())))


def test_what_is_said_again_of_sequences_that_nobody_here_asked_for_is_not_judged() -> None:
    history = Ideal().history()
    history = said_later(history, "SequencePublished", OPENED, numbered="others", sequence_id="another")
    others = replace(history.records[-1], key=b"another")

    assert "I6" not in broken(replace(history, records=(*history.records[:-1], others)))


def test_a_pause_that_was_lost_with_its_database_may_be_done_again_in_a_later_epoch() -> None:
    asked = {"sequence_id": SEQUENCE}
    history = accepted(Ideal().history(), "PauseSequence", topics.SEQUENCES_COMMANDS, asked, {"epoch": 0})

    assert "I2" not in broken(history)
    assert "I2" in broken(replace(history, run=replace(history.run, put_backs=())))


def test_two_freezes_excuse_two_webhooks() -> None:
    history = sent_while_paused(Ideal().history())
    late = history.arrivals[-1]
    history = arriving(history, replace(late, at=late.at + SECOND / 100))
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    frozen = tuple(Span(f"sender-{number}", halted - SECOND, halted + SECOND * 0.99) for number in (1, 2))
    history = replace(history, run=replace(history.run, frozen=frozen))

    assert "I2" not in broken(history)


def test_what_is_in_doubt_where_something_breaks_is_right() -> None:
    history = Ideal().history()

    assert "I5" not in broken(in_doubt(history))


def test_a_shift_of_less_than_a_second_that_was_forgotten_is_found() -> None:
    history = Ideal(delays=(0, 3), contacts=1, pauses=((1.5, 0.9, True),)).history()
    assert check(history) is None
    due = parse_timestamp(data(history, "MessageSent", 1)["due_at"])

    forgotten = told(history, "MessageSent", 1, due_at=due - SECOND * 0.9)

    assert broken(forgotten) == {"I7"}


def test_what_nobody_was_told_of_before_a_put_back_may_leave_once_more() -> None:
    history = Ideal(delays=(0, 3), contacts=1, pauses=()).history()
    first = replace(history.arrivals[1], at=PUT_BACK - SECOND)
    sent_at = OPENED + SECOND * 2
    history = told(history, "MessageSent", 1, due_at=OPENED, sent_at=sent_at, occurred_at=sent_at)
    number = events(history, "MessageSent")[1]
    records = [replace(one, at=sent_at) if place == number else one for place, one in enumerate(history.records)]
    history = replace(history, records=tuple(records), arrivals=(history.arrivals[0], first))

    again = arriving(history, replace(first, at=OPENED + SECOND))

    assert broken(again).isdisjoint({"I3", "I4", "I5", "I12"})
    assert "I3" in broken(arriving(again, replace(first, at=OPENED + SECOND * 1.5)))


@pytest.mark.parametrize(("refused_at", "holds"), [(PUT_BACK + SECOND * 2, True), (PUT_BACK - SECOND, False)])
def test_who_was_let_in_and_told_to_nobody_before_a_put_back_may_be_refused_after_it(
    refused_at: datetime, holds: bool
) -> None:
    history = Ideal().history()
    entry = about(history, "ContactEnrolled", '"gone"')
    record = history.records[entry]
    document = orjson.loads(record.value or b"") | {"type": "EnrollmentRefused.v1"}
    document["data"] |= {"code": "sequence_paused", "occurred_at": format_timestamp(refused_at)}
    refused = replace(record, value=orjson.dumps(document))
    lost = (*history.records[:entry], *history.records[entry + 1 :])
    enrollment_id = document["data"]["enrollment_id"]
    history = replace(history, rows=tuple(one for one in history.rows if one.row.get("enrollment_id") != enrollment_id))

    assert ("I1" not in broken(replace(history, records=(*lost, refused)))) is holds
    assert "I1" in broken(replace(history, records=lost))


def test_what_nobody_was_told_of_before_a_put_back_need_not_leave_again() -> None:
    history = without(Ideal().history(), "MessageSent", -1)
    last = history.arrivals[-1].at

    forgotten = put_back_with(history, "delivery", since=last + SECOND, until=last + SECOND * 1.1)

    assert "I5" not in broken(forgotten)
    assert "I5" in broken(history), "that was long before"


def test_a_database_that_lost_nothing_need_not_be_noticed() -> None:
    history = put_back_with(
        Ideal().history(), "delivery", taken_at=PUT_BACK - SECOND * 2, found_at=None, opened_at=None
    )

    assert check(history) is None


def test_the_first_violation_is_named_with_ids_and_times() -> None:
    history = rows_left(twice(Ideal().history(), "webhook"))

    first = check(history)

    assert first is not None
    assert first.invariant == "I3"
    assert first.sentence.startswith("c0 got step s0")
    assert derive(derive("enrollment", "c0", format_timestamp(START + SECOND / 2)), "s0") in first.sentence
    assert SEQUENCE in first.sentence


def test_an_unknown_message_may_come_again_where_the_sink_knows_no_keys_and_it_was_told() -> None:
    history = Ideal(delays=(0, 3), contacts=1, pauses=()).history()
    email = history.arrivals[1]
    sent = events(history, "MessageSent")[1]
    record = history.records[sent]
    document = orjson.loads(record.value or b"")
    decided = document["data"] | {"outcome": "retry", "by": "policy"}
    unknown = document | {"id": "u", "type": "MessageUnknown.v1"}
    resolved = document | {"id": "r", "type": "MessageResolved.v1", "data": decided}
    spread = [replace(one, offset=one.offset * 10) for one in history.records]
    before = [
        replace(record, offset=record.offset * 10 - back, value=orjson.dumps(said))
        for back, said in ((2, unknown), (1, resolved))
    ]
    again = arriving(replace(history, records=(*spread, *before)), replace(email, at=email.at + SECOND / 1000))

    assert "I3" not in broken(again)
    assert "I5" not in broken(again)
    assert "I3" in broken(arriving(again, replace(email, at=email.at + SECOND / 500)))


def test_rows_are_not_asked_for_where_none_were_collected() -> None:
    history = replace(Ideal().history(), rows=(Row("delivery.claim", {}),))

    assert check(history) is None
