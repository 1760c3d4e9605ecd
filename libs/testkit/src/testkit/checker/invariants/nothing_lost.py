"""I1: every due step of a live enrollment in an active sequence ends; who was let in is told of, and ends once.

Judged at rest: by then everything that the run planned has become due.
"""

from collections import Counter
from collections.abc import Iterator

from testkit.checker.facts import Entry, Event, Facts, places
from testkit.checker.history import Asked
from testkit.checker.invariants.kept import enrollments_are_as_told
from testkit.checker.violation import Violation, text


def nothing_is_lost(facts: Facts) -> Iterator[Violation]:
    """I1."""
    yield from _live(facts)
    yield from _completed(facts)
    yield from _accepted(facts)
    yield from _end_once(facts)
    yield from enrollments_are_as_told(facts)


def _live(facts: Facts) -> Iterator[Violation]:
    pending = {row["enrollment_id"]: row for row in facts.rows.get("delivery.pending", ())}
    told = {event.data["enrollment_id"] for event in facts.named.get("StepsFinished", ())}
    for entry in facts.entries.values():
        life = facts.lives.get(entry.sequence_id)
        if entry.ended_at is not None or life is None or life.status == "deleted":
            continue
        row = pending.get(entry.id)
        if life.status == "active":
            if row is not None and (row["held_by"] is not None or row["lane"] == "withheld:"):
                continue
            stands = "nothing waits for it" if row is None else f"step {row['step_id']} waits in lane {row['lane']}"
            yield Violation(entry.at, "I1", f"{entry} never ended: {_last(facts, entry)}, and {stands}")
        elif life.status == "paused" and row is None and entry.id not in told:
            sentence = f"{entry} lives in a paused sequence, and nothing waits for it: {_last(facts, entry)}"
            yield Violation(entry.at, "I1", sentence)


def _last(facts: Facts, entry: Entry) -> str:
    told = [
        event
        for message_id, events in facts.messages.items()
        if facts.of_message.get(message_id, (None, ""))[0] is entry
        for event in events
    ]
    if not told:
        return f"none of its steps was ever told of since it entered at {text(entry.at)}"
    last = max(told, key=lambda event: event.time("occurred_at"))
    return f"the last word was {last.name} of step {last.data['step_id']} at {text(last.time('occurred_at'))}"


def _completed(facts: Facts) -> Iterator[Violation]:
    """Who completed has been through every step that all versions had which it may have run under."""
    through: dict[str, set[str]] = {}
    for message_id in facts.messages:
        if message_id in facts.of_message:
            entry, step_id = facts.of_message[message_id]
            through.setdefault(entry.id, set()).add(step_id)
    for event in facts.named.get("EnrollmentCompleted", ()):
        found = facts.entries.get(event.data["enrollment_id"])
        if found is None:
            at = event.time("occurred_at")
            yield Violation(at, "I1", f"enrollment {event.data['enrollment_id']} completed and never entered")
            continue
        life, at = facts.lives.get(found.sequence_id), event.time("occurred_at")
        versions = [] if life is None else life.steps_since(found.version, at)
        for step_id in sorted(places(versions) - through.get(found.id, set())):
            sentence = f"{found} completed at {text(at)}, and nothing became of its step {step_id}"
            yield Violation(at, "I1", sentence)


def _accepted(facts: Facts) -> Iterator[Violation]:
    """Who was told to be in is in.

    An entry that was answered, and lost with enrollment's database before it was told of, is made again once that has
    caught up; where the sequence takes nobody in any more, it is told that the contact was refused.
    """
    entered = Counter((entry.event.correlation_id, entry.sequence_id) for entry in facts.entries.values())
    back = min((one.until for one in facts.run.put_backs if one.service == "enrollment"), default=facts.run.ended)
    refused = Counter(
        (event.correlation_id, event.data["sequence_id"])
        for event in facts.named.get("EnrollmentRefused", ())
        if event.time("occurred_at") > back
    )
    for asked, answer in _promises(facts):
        result, place = answer.data["result"], (asked.id, asked.data["sequence_id"])
        if result.get("enrollment_id") in facts.entries:
            continue
        promised, seen = result.get("enrolled", 1), entered[place]
        lost = refused[place] if answer.at < back else 0
        if not seen <= promised <= seen + lost:
            yield Violation(
                answer.at,
                "I1",
                f"{asked.type} {asked.id} for {asked.data['sequence_id']} was answered with {promised} entered, "
                f"and enrollment.events tells of {seen}",
            )


def _promises(facts: Facts) -> Iterator[tuple[Asked, Event]]:
    """The commands that let somebody in, each with its answers."""
    for asked in facts.commands:
        if asked.type in ("EnrollContact.v1", "EnrollContacts.v1"):
            for answer in facts.answers.get((asked.source, asked.id), ()):
                if answer.name == "CommandAccepted":
                    yield asked, answer


def _end_once(facts: Facts) -> Iterator[Violation]:
    """Nobody is told to be out twice, in whatever way."""
    told: dict[str, Event] = {}
    for event, enrollment_id in facts.ends:
        first = told.setdefault(enrollment_id, event)
        if first is not event:
            yield Violation(
                event.at,
                "I1",
                f"enrollment {enrollment_id} ended by {event.name} at {text(event.time('occurred_at'))}, and had ended "
                f"by {first.name} at {text(first.time('occurred_at'))}",
            )
