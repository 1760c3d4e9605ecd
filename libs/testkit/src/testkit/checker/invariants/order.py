"""I4: steps arrive in order and never before they are due. I6: events of a key stand in the order of their versions.

What a message is due by is the database's clock; the sinks' is the same machine's. A sender carries the database's
clock on with its own monotonic one, never ahead of it, and offsets travel as decimal seconds: five milliseconds cover
both. How far behind it may be depends on how busy its process was: `Run.booking_lag_seconds`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sluice_contracts import topics

from testkit.checker.facts import ENDED, Event, Facts, delay_of, standing
from testkit.checker.history import Arrival
from testkit.checker.invariants import frozen
from testkit.checker.invariants.kept import sequences_are_as_told
from testkit.checker.violation import Violation, text

CLOCK: Final = timedelta(milliseconds=5)
Step = tuple[Arrival, str, str]
"""As it first came: the arrival, its message and its step."""


def in_order_and_on_time(facts: Facts) -> Iterator[Violation]:
    """I4. What is forgotten has no time any more."""
    for message_id, came in facts.came.items():
        sent = next((one for one in facts.messages.get(message_id, ()) if one.name == "MessageSent"), None)
        arrivals = facts.remembered(message_id, came)
        if sent is None or not arrivals:
            continue
        # What it was due by holds for the attempt that is told of: a pause between two attempts moves it. That one may
        # have come after its `sent_at`: the answer that the clock was read with had to wait for a busy process.
        latest = sent.time("sent_at") + timedelta(seconds=facts.run.booking_lag_seconds)
        last = next((one for one in reversed(arrivals) if one.at <= latest), arrivals[0])
        if last.at < sent.time("due_at") - CLOCK:
            yield Violation(
                last.at,
                "I4",
                f"{facts.name_of(message_id)} came at {text(last.at)} and was due at {text(sent.time('due_at'))}",
            )
    for walk in _walks(facts).values():
        yield from _behind_later_steps(facts, walk)
        yield from _before_their_delays(facts, walk)


def _walks(facts: Facts) -> dict[str, list[Step]]:
    """The first arrival of each step of each enrollment, taken or not, in order.

    Without mails of senders that were frozen with them in hand: others went on with the next step meanwhile.
    """
    overtaken = _overtaken(facts)
    found: dict[str, list[Step]] = {}
    for message_id, came in facts.came.items():
        arrivals = facts.remembered(message_id, came)
        if arrivals and message_id in facts.of_message and message_id not in overtaken:
            entry, step_id = facts.of_message[message_id]
            found.setdefault(entry.id, []).append((arrivals[0], message_id, step_id))
    for walk in found.values():
        walk.sort(key=lambda one: one[0].at)
    return found


def _overtaken(facts: Facts) -> set[str | None]:
    """What was told to be unknown before it came at all, where a freeze excuses that it still came."""
    unknown_at = {one.data["message_id"]: one.time("occurred_at") for one in facts.named.get("MessageUnknown", ())}
    first = [came[0] for came in facts.came.values()]
    late = [one for one in first if one.message_id in unknown_at and unknown_at[one.message_id] < one.at]
    return {
        arrival.message_id
        for span in facts.run.frozen
        for arrival in frozen.sent_by(span, [one for one in late if span.since <= unknown_at[one.message_id or ""]])
    }


def _behind_later_steps(facts: Facts, walk: Sequence[Step]) -> Iterator[Violation]:
    """No step comes after one that stands behind it in every version that has both."""
    orders = [list(version) for version in _versions(facts, walk)]
    for number, (arrival, message_id, step_id) in enumerate(walk):
        for before, _, earlier in walk[:number]:
            both = [order for order in orders if step_id in order and earlier in order]
            if both and all(order.index(step_id) < order.index(earlier) for order in both):
                yield Violation(
                    arrival.at,
                    "I4",
                    f"{facts.name_of(message_id)} came at {text(arrival.at)}, after the later step {earlier} at "
                    f"{text(before.at)}",
                )


def _before_their_delays(facts: Facts, walk: Sequence[Step]) -> Iterator[Violation]:
    """No step comes earlier after the one before it than the shortest delay that any version gives it."""
    entry, _ = facts.of_message[walk[0][1]]
    life, versions = facts.lives.get(entry.sequence_id), _versions(facts, walk)
    pauses = [] if life is None else life.pauses()
    base: datetime | None = entry.at
    what = "the entry"
    for arrival, message_id, step_id in walk:
        delays = [delay_of(version[step_id]) for version in versions if step_id in version]
        since = None if base is None else standing(base, pauses)
        if delays and since is not None and arrival.at < since + min(delays) - CLOCK:
            yield Violation(
                arrival.at,
                "I4",
                f"{facts.name_of(message_id)} came at {text(arrival.at)}, {(arrival.at - since).total_seconds():.3f} s "
                f"after {what} at {text(since)}; its delay is {min(delays).total_seconds():.0f} s",
            )
        base, what = _ended(facts, message_id), f"the end of step {step_id}"


def _versions(facts: Facts, walk: Sequence[Step]) -> Sequence[Mapping[str, Any]]:
    """All that an enrollment may have run under."""
    entry, _ = facts.of_message[walk[0][1]]
    life = facts.lives.get(entry.sequence_id)
    return [] if life is None else life.steps_since(entry.version, facts.run.ended)


def _ended(facts: Facts, message_id: str) -> datetime | None:
    """When a step was said to be sent; other ends have other bases."""
    told = [one for one in facts.messages.get(message_id, ()) if one.name == "MessageSent"]
    return told[0].time("occurred_at") if told else None


def keys_stand_in_order(facts: Facts) -> Iterator[Violation]:
    """I6."""
    last: dict[tuple[str, int, str], tuple[Any, Event]] = {}
    for event in facts.events:
        version = _version(event)
        if version is None:
            continue
        key, number = version
        place = (event.topic, event.partition, key)
        before = last.get(place)
        if before is not None and number < before[0]:
            yield Violation(
                event.at,
                "I6",
                f"{event.topic} partition {event.partition}: {event.name} of {key} with {number} stands at offset "
                f"{event.offset}, behind {before[1].name} with {before[0]} at {before[1].offset}",
            )
        if before is None or number >= before[0]:
            last[place] = (number, event)
    yield from _steps_in_order(facts)
    yield from _entries_before_ends(facts)
    yield from _newest_stands_last(facts)
    yield from sequences_are_as_told(facts)


def _newest_stands_last(facts: Facts) -> Iterator[Violation]:
    """Who reads what sequences are from a topic's beginning, once it is compacted, sees the last record of each key.

    So this looks at every record, whoever wrote it again, and at tombstones: an older state behind a newer one would be
    what everybody new believes, and one behind a tombstone would never go. Where that happens, their service says again
    what is so (`sequences.handlers.echoes`); this is of the end.
    """
    for (topic, key), told in facts.states.items():
        partitions = sorted({record.partition for record, _ in told})
        if len(partitions) > 1:
            yield Violation(told[-1][0].at, "I6", f"{key} stands on partitions {partitions} of {topic}")
            continue
        last, state = told[-1]
        gone = next((record for record, event in told if event is None), None)
        if gone is not None and state is not None:
            sentence = f"{state.name} of {key} stands at offset {last.offset}, behind its tombstone at {gone.offset}"
            yield Violation(last.at, "I6", f"{topic} partition {last.partition}: {sentence}")
        numbered = [
            (version[1], event) for _, event in told if event is not None and (version := _version(event)) is not None
        ]
        if state is None or not numbered:
            continue
        newest, where = max(numbered, key=lambda one: one[0])
        if numbered[-1][0] < newest:
            yield Violation(
                last.at,
                "I6",
                f"{topic} partition {last.partition}: what stands last of {key} is {numbered[-1][0]} at offset "
                f"{last.offset}, and {newest} stood at {where.offset}",
            )


def _version(event: Event) -> tuple[str, Any] | None:
    """Key and number of what grows along a key; None for what has none."""
    versions = VERSIONS.get(event.topic)
    return None if versions is None else versions(event)


def _entries_before_ends(facts: Facts) -> Iterator[Violation]:
    """Who is told to be out on enrollment.events was told to be in before, on the same partition."""
    entered: set[tuple[int, str]] = set()
    for event in facts.events:
        if event.topic != topics.ENROLLMENT_EVENTS:
            continue
        place = (event.partition, event.data.get("enrollment_id", ""))
        if event.name == "ContactEnrolled":
            entered.add(place)
        elif event.name in ENDED and place not in entered:
            yield Violation(
                event.at,
                "I6",
                f"enrollment.events partition {event.partition}: {event.name} of enrollment {place[1]} stands at "
                f"offset {event.offset}, and no ContactEnrolled of it before",
            )


def _steps_in_order(facts: Facts) -> Iterator[Violation]:
    """The end of each message stands behind the end of the one before it of its enrollment."""
    last: dict[str, Event] = {}
    for event in facts.events:
        if event.topic != topics.DELIVERY_EVENTS or event.name != "MessageSent":
            continue
        before = last.get(event.data["enrollment_id"])
        if before is not None and event.time("occurred_at") < before.time("occurred_at"):
            yield Violation(
                event.at,
                "I6",
                f"delivery.events partition {event.partition}: step {event.data['step_id']} of enrollment "
                f"{event.data['enrollment_id']}, sent {text(event.time('occurred_at'))}, stands at offset "
                f"{event.offset}, behind step {before.data['step_id']}, sent {text(before.time('occurred_at'))}",
            )
        last[event.data["enrollment_id"]] = event


def _of_state(event: Event) -> tuple[str, Any] | None:
    version = event.data.get("state_version")
    return None if version is None else (event.key, version)


def _of_books(event: Event) -> tuple[str, Any] | None:
    return event.key, event.data["books_version"]


def _of_epoch(event: Event) -> tuple[str, Any] | None:
    epoch = event.data.get("epoch")
    return None if epoch is None else (f"{event.name} of {event.key}", epoch)


def _of_scope(event: Event) -> tuple[str, Any] | None:
    epoch = event.data.get("epoch")
    return None if epoch is None else (event.key, epoch)


VERSIONS: Final[dict[str, Callable[[Event], tuple[str, Any] | None]]] = {
    topics.SEQUENCES_EVENTS: _of_state,
    topics.DELIVERY_BOOKS: _of_books,
    topics.ENROLLMENT_CONTROL: _of_epoch,
    topics.DELIVERY_CONTROL: _of_scope,
}
"""What grows along a key of each topic."""
