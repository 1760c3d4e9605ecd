"""A history that was right, with one thing changed: each breaks a promise."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from messaging import derive
from sluice_contracts import topics
from sluice_contracts.base import format_timestamp, parse_timestamp
from testkit.checker import History
from testkit.checker.history import Arrival, Asked, Found, Record, Row, Span

from .ideal import LATENCY, OPENED, SEQUENCE, START

SECOND = timedelta(seconds=1)


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


def repeated(history: History, name: str) -> History:
    """The first record of that name once more at the end of its topic, under another id."""
    record = history.records[events(history, name)[0]]
    document = orjson.loads(record.value or b"") | {"id": "another"}
    again = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, again))


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
    return replace(gone, rows=tuple(one for one in gone.rows if one.row.get("message_id") != last.message_id))


def skipped_step(history: History) -> History:
    """Completed without one of its steps."""
    first = history.arrivals[1]
    kept = replace(history, arrivals=(history.arrivals[0], *history.arrivals[2:]))
    rows = tuple(one for one in history.rows if one.row.get("message_id") != first.message_id)
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


def receipt_for_fewer(history: History) -> History:
    return told(history, "ContactHalted", enrollment_ids=[])


def receipt_for_others(history: History) -> History:
    """Of somebody who is still in."""
    return told(history, "ContactHalted", enrollment_ids=[*data(history, "ContactHalted")["enrollment_ids"], "other"])


def stopped_too_late(history: History) -> History:
    """A pause is told to have stopped when it is over."""
    return told(history, "SequenceStopped", state_version=data(history, "SequenceResumed")["state_version"] + 1)


def stopped_otherwise(history: History, **changed: Any) -> History:
    """What SequenceStopped says of its receipts is not what they say."""
    receipts = data(history, "SequenceStopped")["receipts"]
    return told(history, "SequenceStopped", receipts=receipts | changed)


def removed_and_completed(history: History) -> History:
    """Somebody is told to be through, and was removed."""
    removed, record = data(history, "ContactRemoved"), history.records[events(history, "EnrollmentCompleted")[0]]
    document = orjson.loads(record.value or b"") | {"id": "another"}
    document["data"] |= {"enrollment_id": removed["enrollment_ids"][0], "occurred_at": removed["occurred_at"]}
    again = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, again))


def in_twice(history: History) -> History:
    """Somebody who is in enters once more."""
    entry = data(history, "ContactEnrolled", 0)
    entered_at = format_timestamp(parse_timestamp(entry["occurred_at"]) + SECOND / 100)
    record = history.records[events(history, "ContactEnrolled")[0]]
    document = orjson.loads(record.value or b"") | {"id": "another"}
    document["data"] = entry | {"enrollment_id": "again", "occurred_at": entered_at}
    more = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, more))


def out_before_in(history: History) -> History:
    """The record of an end stands before that of its entry."""
    number = events(history, "EnrollmentCompleted")[0]
    early = replace(history.records[number], offset=-1)
    return replace(history, records=(*history.records[:number], early, *history.records[number + 1 :]))


def booked(history: History, **more: int) -> History:
    """One more change of the books."""
    books = next(one for one in history.rows if one.table == "delivery.books")
    nothing = {name: value if name == "sequence_id" else 0 for name, value in books.row.items()}
    return replace(history, rows=(*history.rows, Row("delivery.books_delta", nothing | more)))


def two_ends(history: History) -> History:
    number = events(history, "MessageSent")[0]
    record = history.records[number]
    document = orjson.loads(record.value or b"") | {"id": "another", "type": "MessageFailed.v1"}
    document["data"]["code"] = "http_410"
    again = replace(record, offset=10_000, value=orjson.dumps(document))
    return replace(history, records=(*history.records, again))


def refused_and_failed(history: History, times: int) -> History:
    """A sink refuses somebody's first message, and it is told so often to have failed."""
    receipt = data(history, "ContactHalted")
    message_id = derive(receipt["enrollment_ids"][0], "s0")
    at = parse_timestamp(receipt["halted_at"]) - SECOND / 100
    record = history.records[events(history, "MessageSent")[0]]
    said = orjson.loads(record.value or b"") | {"type": "MessageFailed.v1"}
    said["data"] |= {"message_id": message_id, "occurred_at": format_timestamp(at), "code": "http_410"}
    failed = [
        replace(record, offset=10_000 + number, value=orjson.dumps(said | {"id": f"failed-{number}"}))
        for number in range(times)
    ]
    history = arriving(history, Arrival(at, "webhook", message_id, False, "refused", "gone"))
    row = Row("delivery.message", {**history.rows[0].row, "message_id": message_id, "outcome": "failed"} | said["data"])
    history = booked(history, planned=1, failed=1)
    return replace(history, records=(*history.records, *failed), rows=(*history.rows, row))


def without_its_row(history: History, message_id: str) -> History:
    return replace(history, rows=tuple(one for one in history.rows if one.row.get("message_id") != message_id))


def refused_and_sent(history: History) -> History:
    """What a sink refused stands as sent among the rows."""
    failed = refused_and_failed(history, 1)
    told_of = {one.message_id for one in failed.arrivals if one.outcome == "refused"}
    rows = tuple(
        replace(one, row={**one.row, "outcome": "sent"}) if one.row.get("message_id") in told_of else one
        for one in failed.rows
    )
    return booked(replace(failed, rows=rows), failed=-1, sent=1)


def refused_and_not_kept(history: History) -> History:
    """What a sink refused, and was told to have failed, has no row."""
    failed = refused_and_failed(history, 1)
    gone = next(one.message_id for one in failed.arrivals if one.outcome == "refused")
    return booked(without_its_row(failed, gone or ""), planned=-1, failed=-1)


def given_up(history: History) -> History:
    """The sink would have taken it: it was asked once, and could not answer."""
    failed = refused_and_failed(history, 1)
    arrivals = tuple(replace(one, outcome="failed") if one.outcome == "refused" else one for one in failed.arrivals)
    return replace(failed, arrivals=arrivals)


def in_doubt(history: History, **run: Any) -> History:
    """A mail that came is unknown, then known."""
    first = next(one for one in history.arrivals if one.channel == "email")
    number = about(history, "MessageSent", first.message_id or "")
    record = history.records[number]
    document = orjson.loads(record.value or b"")
    what = {name: document["data"][name] for name in ("message_id", "occurred_at", "enrollment_id", "contact_id")}
    unknown = document | {"id": "unknown", "type": "MessageUnknown.v1", "data": what | {"reason": "lease_over"}}
    known = document | {"id": "known", "type": "MessageResolved.v1", "data": what | {"outcome": "sent"}}
    records = [
        replace(record, offset=10_000 + place, value=orjson.dumps(one)) for place, one in enumerate((unknown, known))
    ]
    kept = (*history.records[:number], *history.records[number + 1 :], *records)
    return replace(history, records=kept, run=replace(history.run, **run))


def two_rows(history: History) -> History:
    return replace(history, rows=(*history.rows, history.rows[0]))


def said_and_not_sent(history: History) -> History:
    return replace(history, arrivals=history.arrivals[1:])


def older_state_later(history: History) -> History:
    return repeated(history, "SequencePublished")


def older_state_again(history: History) -> History:
    """A record that stands already is published once more, behind a newer one of its key."""
    record = history.records[events(history, "SequencePublished")[0]]
    return replace(history, records=(*history.records, replace(record, offset=10_000)))


def state_behind_its_tombstone(history: History) -> History:
    record = history.records[events(history, "SequenceDeleted")[0]]
    return replace(history, records=(*history.records, replace(record, offset=10_000)))


def key_elsewhere(history: History) -> History:
    """A state stands on another partition than those of its key before it."""
    number = events(history, "SequenceResumed")[-1]
    moved = replace(history.records[number], partition=1)
    return replace(history, records=(*history.records[:number], moved, *history.records[number + 1 :]))


def refused_too_early(history: History) -> History:
    """A first attempt comes before its step is due, and is not taken."""
    first = history.arrivals[1]
    return arriving(history, replace(first, at=first.at - SECOND, accepted=False, outcome="failed"))


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


def other_headers(history: History) -> History:
    return replace(
        history,
        records=tuple(
            replace(one, headers=one.headers[1:]) if one.topic in topics.QUARANTINES else one for one in history.records
        ),
    )


def no_poison(history: History, **asked: Any) -> History:
    """What is set aside need not have been."""
    clients = tuple(replace(one, **asked) if one.kind == "poison" else one for one in history.clients)
    return replace(history, clients=clients)


def refused_otherwise(history: History) -> History:
    return told(history, "CommandRejected", code="limit")


def slow_neighbour(history: History) -> History:
    return replace(
        history,
        clients=tuple(
            replace(one, heard_at=one.asked_at + 3 * SECOND) if one.kind == "neighbour" else one
            for one in history.clients
        ),
    )


def nothing_to_compare(history: History) -> History:
    """No command was answered before the poison."""
    clients = tuple(one for one in history.clients if one.kind != "command")
    return replace(history, clients=clients)


def never_heard(history: History) -> History:
    """A client asked again and again, and gave up."""
    first = replace(history.clients[0], heard=None, heard_at=None)
    return replace(history, clients=(*history.clients, first))


def canary_left(history: History) -> History:
    found = (Found("canary-of-erased", "delivery.message", 2),)
    return replace(history, run=replace(history.run, found=found))


def second_answer(history: History) -> History:
    return repeated(history, "CommandAccepted")


def answered_otherwise(history: History) -> History:
    """Handled again: the same cause gives the answer the same id."""
    record = history.records[events(history, "CommandAccepted")[0]]
    document = orjson.loads(record.value or b"")
    document["data"]["result"] = {"version": 9}
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


def another_state_of_one_id(history: History) -> History:
    """The same cause gives the state the same id."""
    first = orjson.loads(history.records[events(history, "SequencePublished")[0]].value or b"")
    return said_later(history, "SequencePublished", OPENED + SECOND, numbered=first["id"], epoch=7)


def accepted(history: History, kind: str, topic: str, asked: dict[str, Any], result: dict[str, Any]) -> History:
    """One more command, answered so, and nothing came of it."""
    at = START + 20 * SECOND
    command = Asked("client", kind, f"{kind}.v1", topic, "k", asked, at, at + LATENCY, {"result": result})
    answer = {"command": {"source": "client", "id": kind, "type": f"{kind}.v1"}, "result": result}
    record = history.records[events(history, "CommandAccepted")[0]]
    source = topic.partition(".")[0]
    document = orjson.loads(record.value or b"") | {"id": f"of-{kind}", "source": source, "data": answer}
    told = replace(record, topic=topics.ANSWERS_OF[topic], offset=10_000, at=at, value=orjson.dumps(document))
    return replace(history, clients=(*history.clients, command), records=(*history.records, told))


def not_stopped(history: History, kind: str) -> History:
    return accepted(history, kind, topics.SEQUENCES_COMMANDS, {"sequence_id": SEQUENCE}, {"epoch": 9})


def not_removed(history: History) -> History:
    result = {"removal_id": "another", "removed": []}
    return accepted(history, "RemoveContact", topics.ENROLLMENT_REMOVALS, {"contact_id": "c0"}, result)


def kept_otherwise(history: History, table: str, **changed: Any) -> History:
    """The first row of a table is another."""
    number = next(number for number, one in enumerate(history.rows) if one.table == table)
    row = replace(history.rows[number], row={**history.rows[number].row, **changed})
    return replace(history, rows=(*history.rows[:number], row, *history.rows[number + 1 :]))


def expired(history: History, *, is_told: bool, row: str | None) -> History:
    """Somebody's first message expires before it leaves: the event, the row, or both."""
    receipt = data(history, "ContactHalted")
    message_id = derive(receipt["enrollment_ids"][0], "s0")
    record = history.records[events(history, "MessageSent")[0]]
    said = orjson.loads(record.value or b"") | {"id": "expired", "type": "MessageExpired.v1"}
    said["data"] |= {"message_id": message_id, "occurred_at": receipt["halted_at"]}
    if is_told:
        expiry = replace(record, offset=10_000, value=orjson.dumps(said))
        history = replace(history, records=(*history.records, expiry))
    if row is not None:
        kept = {**history.rows[0].row, "message_id": message_id, "outcome": row} | said["data"]
        history = replace(history, rows=(*history.rows, Row("delivery.message", kept)))
        history = booked(history, planned=1, **{row: 1})
    return history


def told_again_otherwise(history: History, name: str, **changed: Any) -> History:
    """A record once more under its id after a put-back, with other data."""
    first = orjson.loads(history.records[events(history, name)[0]].value or b"")
    return said_later(history, name, OPENED + SECOND, numbered=first["id"], **changed)


def erased_again(history: History) -> History:
    """A receipt of an erasure before a put-back, and once more under its id behind it, with another count."""
    record = history.records[events(history, "MessageSent")[0]]
    said = orjson.loads(record.value or b"") | {"id": "erased", "type": "SequenceErased.v1"}
    receipts = tuple(
        replace(
            record,
            topic=topics.ERASURE_RECEIPTS,
            offset=10_000 + count,
            at=at,
            value=orjson.dumps(
                said | {"data": {"sequence_id": "gone", "service": "delivery", "rows": {"gate": count}}}
            ),
        )
        for count, at in ((0, record.at), (1, OPENED + SECOND))
    )
    return replace(history, records=(*history.records, *receipts))
