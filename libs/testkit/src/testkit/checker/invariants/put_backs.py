"""I12: a service whose database was put back notices, starts closed, catches up; what it had said stands.

Before `since` the old processes said what they said, after `until` the new ones do; in between nobody of that service
was at work. What was committed in the old database and never published is known to nobody, and not judged.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sluice_contracts import topics

from testkit.checker.facts import Entry, Event, Facts
from testkit.checker.history import PutBack
from testkit.checker.invariants.stops import late_sends
from testkit.checker.violation import Violation, text

PUBLISHED: Final = timedelta(seconds=1)
"""So long after the copy was taken, what it holds unpublished is published: a later record is not in its outbox."""
STATE: Final = ("status", "epoch", "revision", "version")
"""What one `state_version` of a sequence stands for."""


def what_was_said_stands(facts: Facts) -> Iterator[Violation]:
    """I12."""
    for one in facts.run.put_backs:
        yield from _noticed(facts, one)
        yield from _starts_closed(facts, one)
        for rule in AFTER.get(one.service, ()):
            yield from rule(facts, one)


def _noticed(facts: Facts, one: PutBack) -> Iterator[Violation]:
    if one.service not in AFTER:
        return
    said = (event for event in facts.events if event.source == one.service)
    lost = next((event for event in said if one.taken_at + PUBLISHED < event.at < one.since), None)
    if lost is None:
        return
    known = f"{lost.name} at {lost.topic}:{lost.partition}:{lost.offset} is from after {text(one.taken_at)}"
    if one.found_at is None:
        yield Violation(one.until, "I12", f"{one.service} did not notice that its database was put back; {known}")
    elif one.opened_at is None:
        yield Violation(one.found_at, "I12", f"{one.service} noticed that its database was put back, and never opened")


def _starts_closed(facts: Facts, one: PutBack) -> Iterator[Violation]:
    """No command, no entry, no send before it has caught up."""
    if one.opened_at is None:
        return
    opened = f"before {one.service} had caught up at {text(one.opened_at)}"
    for event in facts.events:
        answers = event.topic in topics.ANSWER_TOPICS and event.source == one.service
        if answers and one.until < event.at < one.opened_at:
            command = event.data["command"]
            sentence = f"{command['type']} {command['id']} was answered at {text(event.at)}, {opened}"
            yield Violation(event.at, "I12", sentence)
    if one.service == "enrollment":
        for entry in facts.entries.values():
            if one.until < entry.at < one.opened_at:
                yield Violation(entry.at, "I12", f"{entry} entered at {text(entry.at)}, {opened}")
    if one.service == "delivery":
        for arrival in facts.history.arrivals:
            if one.until < arrival.at < one.opened_at:
                name = facts.name_of(arrival.message_id or "")
                yield Violation(arrival.at, "I12", f"{name} came at {text(arrival.at)}, {opened}")


def _not_sent_again(facts: Facts, one: PutBack) -> Iterator[Violation]:
    """What was told to be sent does not even come to a sink that would know its key."""
    for message_id, told in facts.messages.items():
        sent = min((event.at for event in told if _is_sent(event)), default=one.until)
        for arrival in facts.came.get(message_id, ()):
            if sent < one.since and one.until < arrival.at:
                yield Violation(
                    arrival.at,
                    "I12",
                    f"{facts.name_of(message_id)} came again at {text(arrival.at)}; that it was sent was told at "
                    f"{text(sent)}, before the database of {one.service} was put back",
                )


def _is_sent(event: Event) -> bool:
    return event.name == "MessageSent" or (event.name == "MessageResolved" and event.data["outcome"] == "sent")


def _receipts_hold(facts: Facts, one: PutBack) -> Iterator[Violation]:
    """Those of before, in what leaves after."""
    for late in late_sends(facts):
        if late.halted_at < one.since and one.until < late.arrival.at:
            yield Violation(
                late.arrival.at,
                "I12",
                f"{facts.name_of(late.arrival.message_id or '')} came at {text(late.arrival.at)}, after "
                f"{late.stop} at {text(late.halted_at)}, before the database of {one.service} was put back",
            )


def _nobody_enters_again(facts: Facts, one: PutBack) -> Iterator[Violation]:
    """Who was told to have entered does not do so again, but for those removed to be let in again."""
    free = {
        enrollment_id
        for event in facts.named.get("ContactRemoved", ())
        if event.data["allow_reentry"]
        for enrollment_id in event.data["enrollment_ids"]
    }
    before: dict[tuple[str, str], Entry] = {}
    for entry in facts.entries.values():
        if entry.event.at < one.since and entry.id not in free:
            before[entry.sequence_id, entry.contact_id] = entry
    for entry in facts.entries.values():
        first = before.get((entry.sequence_id, entry.contact_id))
        if first is not None and first is not entry and one.until < entry.at:
            yield Violation(
                entry.at,
                "I12",
                f"{entry} entered at {text(entry.at)}, and had been told to be in as {first.id} at "
                f"{text(first.at)}, before the database of {one.service} was put back",
            )


def _ends_stand(facts: Facts, one: PutBack) -> Iterator[Violation]:
    """Who was told to be out is not told to be out otherwise."""
    told: dict[str, tuple[str, datetime]] = {}
    for event, enrollment_id in facts.ends:
        name, at = told.setdefault(enrollment_id, (event.name, event.at))
        if name != event.name and at < one.since and one.until < event.at:
            yield Violation(
                event.at,
                "I12",
                f"enrollment {enrollment_id} was told to end by {event.name} at {text(event.at)}, and by {name} at "
                f"{text(at)}, before the database of {one.service} was put back",
            )


def _states_stand(facts: Facts, one: PutBack) -> Iterator[Violation]:
    """A state that was told of is not told otherwise."""
    told: dict[tuple[str, int], Event] = {}
    for event in [*facts.events, *(again for _, again in facts.said_otherwise)]:
        if event.topic != topics.SEQUENCES_EVENTS:
            continue
        first = told.setdefault((event.key, event.data["state_version"]), event)
        if first.at < one.since and one.until < event.at and _state(first) != _state(event):
            yield Violation(
                event.at,
                "I12",
                f"state {event.data['state_version']} of {event.key} is {_state(event)} at offset {event.offset}, and "
                f"was {_state(first)} at {first.offset}, before the database of {one.service} was put back",
            )


def _state(event: Event) -> dict[str, Any]:
    return {name: event.data.get(name) for name in STATE}


AFTER: Final[Mapping[str, tuple[Callable[[Facts, PutBack], Iterator[Violation]], ...]]] = {
    "sequences": (_states_stand,),
    "enrollment": (_nobody_enters_again, _ends_stand),
    "delivery": (_not_sent_again, _receipts_hold),
}
"""What each service had said. (Answers: I11. Entries after a removal or a closing: I2.) The console says nothing of its
own but receipts of erasures, which repeat themselves: it need not notice, and hears again what it has lost."""
