"""What was done right passes, and each way to break a promise is found, by name."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messaging import derive
from sluice_contracts import topics
from sluice_contracts.base import format_timestamp, parse_timestamp
from testkit.checker import INVARIANTS, History, check, judge
from testkit.checker.facts import Facts
from testkit.checker.history import Arrival, Found, Record, Row, Span
from testkit.checker.invariants.stops import residue

from .ideal import OPENED, PUT_BACK, SEQUENCE, START, Ideal

SECOND = timedelta(seconds=1)


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
        frozen=(Span("sender-1", START, START + SECOND, "after-claim"),), found=(Found("w", "t", 1),)
    )
    history = put_back_with(history, "delivery", found_at=None, opened_at=None)

    history.write(tmp_path)

    assert History.read(tmp_path) == history


# -- each promise, broken


def events(history: History, name: str) -> list[int]:
    """Where the records of that name stand."""
    return [
        number
        for number, one in enumerate(history.records)
        if one.value is not None and name.encode() + b".v1" in one.value
    ]


def about(history: History, name: str, word: str) -> int:
    """Where the first of them stands that holds a word."""
    return next(number for number in events(history, name) if word.encode() in (history.records[number].value or b""))


def without(history: History, name: str, which: int = 0) -> History:
    gone = events(history, name)[which]
    return replace(history, records=(*history.records[:gone], *history.records[gone + 1 :]))


def told(history: History, name: str, which: int = 0, **changed: Any) -> History:
    """One record with other data."""
    number = events(history, name)[which]
    record = history.records[number]
    document = orjson.loads(record.value or b"")
    document["data"] |= {key: format_timestamp(v) if isinstance(v, datetime) else v for key, v in changed.items()}
    changed_one = replace(record, value=orjson.dumps(document))
    return replace(history, records=(*history.records[:number], changed_one, *history.records[number + 1 :]))


def data(history: History, name: str, which: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(history.records[events(history, name)[which]].value or b"")["data"]
    return found


def arriving(history: History, *more: Arrival) -> History:
    return replace(history, arrivals=(*history.arrivals, *more))


def lost_step(history: History) -> History:
    """Nothing becomes of somebody's last step, and they are not told to be through."""
    last = history.arrivals[-1]
    kept = replace(history, arrivals=history.arrivals[:-1])
    gone = without(without(kept, "MessageSent", -1), "EnrollmentCompleted", -1)
    return replace(gone, rows=tuple(one for one in gone.rows if one.row["message_id"] != last.message_id))


def skipped_step(history: History) -> History:
    """Completed without one of its steps."""
    first = history.arrivals[1]
    kept = replace(history, arrivals=(history.arrivals[0], *history.arrivals[2:]))
    rows = tuple(one for one in history.rows if one.row["message_id"] != first.message_id)
    number = about(kept, "MessageSent", first.message_id or "")
    return replace(kept, rows=rows, records=(*kept.records[:number], *kept.records[number + 1 :]))


def never_entered(history: History) -> History:
    asked = next(one for one in history.clients if one.type == "EnrollContact.v1")
    answer = about(history, "CommandAccepted", f'"{asked.id}"')
    record = history.records[answer]
    document = orjson.loads(record.value or b"")
    document["data"]["result"] = {"enrollment_id": "nobody"}
    records = list(history.records)
    records[answer] = replace(record, value=orjson.dumps(document))
    entry = about(history, "ContactEnrolled", '"c0"')
    del records[entry]
    return replace(history, records=tuple(records))


def sent_while_paused(history: History) -> History:
    halted = parse_timestamp(data(history, "SequenceHalted")["halted_at"])
    first = history.arrivals[0]
    return arriving(history, replace(first, at=halted + SECOND, accepted=False, outcome="failed"))


def sent_after_removal(history: History) -> History:
    receipt = data(history, "ContactHalted")
    message_id = derive(receipt["enrollment_ids"][0], "s0")
    return arriving(
        history, Arrival(parse_timestamp(receipt["halted_at"]) + SECOND, "webhook", message_id, False, "failed", "gone")
    )


def sent_while_suspended(history: History) -> History:
    at = parse_timestamp(data(history, "DeliverySuspended")["halted_at"]) + SECOND
    return arriving(history, Arrival(at, "webhook", None, False, "failed", "anybody"))


def entered_after_closing(history: History) -> History:
    closed = parse_timestamp(data(history, "EntryClosed")["closed_at"])
    return told(history, "ContactEnrolled", 0, occurred_at=closed + SECOND / 10)


def came_back(history: History) -> History:
    removed = data(history, "ContactRemoved")
    entry = data(history, "ContactEnrolled", 0) | {"contact_id": "gone", "enrollment_id": "again"}
    entry["occurred_at"] = format_timestamp(parse_timestamp(removed["occurred_at"]) + SECOND)
    at = history.records[0].at
    document = {"specversion": "1.0", "id": "x", "source": "enrollment", "type": "ContactEnrolled.v1", "data": entry}
    more = Record(topics.ENROLLMENT_EVENTS, 0, 10_000, at, b"gone", orjson.dumps(document))
    return replace(history, records=(*history.records, more))


def deaf_and_sending(history: History) -> History:
    silence = Span("Kafka was gone", START - 10 * SECOND, START + 100 * SECOND)
    return replace(history, run=replace(history.run, deaf=(silence,)))


def twice(history: History, channel: str) -> History:
    first = next(one for one in history.arrivals if one.channel == channel)
    return arriving(history, replace(first, at=first.at + SECOND / 100))


def another_key(history: History) -> History:
    """A product that makes a new key for each attempt: only what the message says gives it away."""
    first = history.arrivals[0]
    return arriving(history, replace(first, at=first.at + SECOND / 100, message_id=derive("another")))


def too_early(history: History) -> History:
    first = history.arrivals[1]
    others = tuple(one for one in history.arrivals if one is not first)
    return replace(history, arrivals=(*others, replace(first, at=first.at - SECOND)))


def swapped(history: History) -> History:
    first, second = history.arrivals[0], history.arrivals[1]
    others = tuple(one for one in history.arrivals if one not in (first, second))
    return replace(history, arrivals=(*others, replace(first, at=second.at), replace(second, at=first.at)))


def two_ends(history: History) -> History:
    number = events(history, "MessageSent")[0]
    record = history.records[number]
    document = orjson.loads(record.value or b"") | {"id": "another", "type": "MessageFailed.v1"}
    again = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, again))


def two_rows(history: History) -> History:
    return replace(history, rows=(*history.rows, history.rows[0]))


def said_and_not_sent(history: History) -> History:
    return replace(history, arrivals=history.arrivals[1:])


def older_state_later(history: History) -> History:
    number = events(history, "SequencePublished")[0]
    record = history.records[number]
    document = orjson.loads(record.value or b"") | {"id": "late"}
    late = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, late))


def shortened_delay(history: History) -> History:
    """What waited through the pause is due as if there had been none."""
    resumed = parse_timestamp(data(history, "SequenceResumed")["resumed_at"])
    due_at = [data(history, "MessageSent", number)["due_at"] for number in range(len(events(history, "MessageSent")))]
    late = [number for number, due in enumerate(due_at) if due > format_timestamp(resumed)]
    due = parse_timestamp(data(history, "MessageSent", late[0])["due_at"])
    return told(history, "MessageSent", late[0], due_at=due - 2 * SECOND)


def rows_left(history: History) -> History:
    return replace(history, run=replace(history.run, sizes={"delivery.claim": (0, 2)}))


def other_bytes(history: History) -> History:
    return replace(
        history,
        records=tuple(
            replace(one, value=(one.value or b"")[:-1]) if one.topic in topics.QUARANTINES else one
            for one in history.records
        ),
    )


def not_set_aside(history: History) -> History:
    return replace(history, records=tuple(one for one in history.records if one.topic not in topics.QUARANTINES))


def slow_neighbour(history: History) -> History:
    return replace(
        history,
        clients=tuple(
            replace(one, heard_at=one.asked_at + 3 * SECOND) if one.kind == "neighbour" else one
            for one in history.clients
        ),
    )


def canary_left(history: History) -> History:
    found = (Found("canary-of-erased", "delivery.message", 2),)
    return replace(history, run=replace(history.run, found=found))


def second_answer(history: History) -> History:
    number = events(history, "CommandAccepted")[0]
    record = history.records[number]
    document = orjson.loads(record.value or b"") | {"id": "another"}
    again = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, again))


def heard_otherwise(history: History) -> History:
    first = replace(history.clients[0], heard={"result": {"version": 9}})
    return replace(history, clients=(first, *history.clients[1:]))


def put_back_with(history: History, service: str, **changed: Any) -> History:
    found = tuple(replace(one, **changed) if one.service == service else one for one in history.run.put_backs)
    return replace(history, run=replace(history.run, put_backs=found))


def said_later(history: History, name: str, at: datetime, *, numbered: str, **changed: Any) -> History:
    """One record once more, as a service says it that does not know that it has."""
    record = history.records[events(history, name)[0]]
    document = orjson.loads(record.value or b"") | {"id": numbered}
    document["data"] |= {key: format_timestamp(v) if isinstance(v, datetime) else v for key, v in changed.items()}
    again = replace(record, at=at, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, again))


def sent_again(history: History) -> History:
    """A sink that knows its key turns it away: only the arrival shows that it left."""
    first = next(one for one in history.arrivals if one.channel == "webhook")
    return arriving(history, replace(first, at=OPENED + SECOND, accepted=False, outcome="repeated"))


def sent_while_catching_up(history: History) -> History:
    return arriving(history, replace(history.arrivals[0], at=OPENED - SECOND, message_id="other", about=None))


def receipt_forgotten(history: History) -> History:
    """Somebody was removed, and gets a first message when the removal is lost."""
    removed = data(history, "ContactRemoved")
    message_id = derive(removed["enrollment_ids"][0], "s0")
    return arriving(history, replace(history.arrivals[0], at=OPENED + SECOND, message_id=message_id, about=None))


def answered_while_catching_up(history: History) -> History:
    return said_later(history, "CommandAccepted", OPENED - SECOND, numbered="early")


def entered_while_catching_up(history: History) -> History:
    at = OPENED - SECOND
    return said_later(
        history, "ContactEnrolled", at, numbered="early", enrollment_id="early", contact_id="new", occurred_at=at
    )


def entered_again(history: History) -> History:
    at = OPENED + SECOND
    return said_later(history, "ContactEnrolled", at, numbered="again", enrollment_id="again", occurred_at=at)


def ended_otherwise(history: History) -> History:
    completed = data(history, "EnrollmentCompleted")
    at = OPENED + SECOND
    return said_later(
        history,
        "ContactRemoved",
        at,
        numbered="other",
        removal_id="removal-gone",
        enrollment_ids=[completed["enrollment_id"]],
        occurred_at=at,
    )


def another_state(history: History) -> History:
    """The same number, and another epoch."""
    return said_later(history, "SequencePublished", OPENED + SECOND, numbered="other", epoch=7)


@pytest.mark.parametrize(
    ("invariant", "mutate"),
    [
        ("I1", lost_step),
        ("I1", skipped_step),
        ("I1", never_entered),
        ("I2", sent_while_paused),
        ("I2", sent_after_removal),
        ("I2", sent_while_suspended),
        ("I2", entered_after_closing),
        ("I2", came_back),
        ("I2", lambda history: without(history, "ContactHalted")),
        ("I2", lambda history: without(history, "SequenceHalted")),
        ("I2b", deaf_and_sending),
        ("I3", lambda history: twice(history, "webhook")),
        ("I3", lambda history: twice(history, "email")),
        ("I3", another_key),
        ("I4", too_early),
        ("I4", swapped),
        ("I5", two_ends),
        ("I5", two_rows),
        ("I5", said_and_not_sent),
        ("I5", lambda history: without(history, "MessageSent")),
        ("I6", older_state_later),
        ("I7", shortened_delay),
        ("I8", rows_left),
        ("I9", other_bytes),
        ("I9", not_set_aside),
        ("I9", slow_neighbour),
        ("I10", canary_left),
        ("I10", lambda history: without(history, "SequenceErasureCompleted")),
        ("I11", second_answer),
        ("I11", heard_otherwise),
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
    refused = replace(sent, at=sent.at - SECOND, accepted=False, outcome="failed")

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
