"""I3: who gets what how often. I5: what came has ended, once, and what is said to be sent has come."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from testkit.checker.facts import ENDS, Entry, Facts
from testkit.checker.invariants.books import books_are_right
from testkit.checker.violation import Violation, text

ATTEMPTS_MAX: Final = 12
"""After so many a message is given up (`delivery.domain.message`)."""


def nobody_gets_it_twice(facts: Facts) -> Iterator[Violation]:
    """I3: once where the sink honours the key, else once and once more per crash that left it in doubt.

    Each crash that hit a send of a channel without keys shows: as `MessageUnknown`, before it is tried again. What left
    and was told to nobody when delivery's database was put back may leave once more: nothing is left that knows of it.
    """
    for message_id, arrivals in facts.accepted.items():
        told = facts.told_of(message_id)
        keyed = arrivals[0].channel in facts.run.idempotent
        allowed = 1 if keyed else 1 + min(told.unknown, told.retried) + len(facts.forgotten(message_id))
        if len(arrivals) > allowed:
            times = ", ".join(text(one.at) for one in arrivals)
            yield Violation(
                arrivals[allowed].at,
                "I3",
                f"{facts.name_of(message_id)} was taken {len(arrivals)} times by the {arrivals[0].channel} sink "
                f"({times}); {allowed} allowed",
            )
    yield from _by_content(facts)
    yield from _nobody_is_in_twice(facts)


def _nobody_is_in_twice(facts: Facts) -> Iterator[Violation]:
    """Who lives in a sequence does not enter it again: they would get everything twice."""
    before: dict[tuple[str, str], Entry] = {}
    for entry in sorted(facts.entries.values(), key=lambda one: one.at):
        first = before.get((entry.sequence_id, entry.contact_id))
        before[entry.sequence_id, entry.contact_id] = entry
        if first is not None and (first.ended_at is None or entry.at < first.ended_at):
            ended = "never ended" if first.ended_at is None else f"ended at {text(first.ended_at)}"
            yield Violation(entry.at, "I3", f"{entry} entered at {text(entry.at)}, and {first.id} {ended}")


def _by_content(facts: Facts) -> Iterator[Violation]:
    """The same by what the messages themselves say: no key of ours is believed."""
    entries = Counter((one.sequence_id, one.contact_id) for one in facts.entries.values())
    doubted: Counter[tuple[str, str, str]] = Counter()
    for message_id in facts.messages:
        if message_id in facts.of_message:
            entry, step_id = facts.of_message[message_id]
            again = facts.told_of(message_id).retried + len(facts.forgotten(message_id))
            doubted[entry.sequence_id, entry.contact_id, step_id] += again
    seen: Counter[tuple[str, str, str]] = Counter()
    for arrival in sorted(facts.history.arrivals, key=lambda one: one.at):
        if not arrival.accepted or arrival.about is None:
            continue
        seen[arrival.about] += 1
        sequence_id, contact_id, step_id = arrival.about
        spare = 0 if arrival.channel in facts.run.idempotent else doubted[arrival.about]
        if seen[arrival.about] > entries[sequence_id, contact_id] + spare:
            yield Violation(
                arrival.at,
                "I3",
                f"{contact_id} got step {step_id} of {sequence_id} for the {seen[arrival.about]}. time at "
                f"{text(arrival.at)} (message {arrival.message_id}), having entered "
                f"{entries[sequence_id, contact_id]} times",
            )


def each_arrival_has_one_end(facts: Facts) -> Iterator[Violation]:
    """I5, but for what came and was forgotten, and never left again."""
    yield from books_are_right(facts)
    for message_id, arrivals in facts.accepted.items():
        came = arrivals[0].at
        if message_id not in facts.of_message:
            sentence = f"message {message_id} came to {arrivals[0].to} at {text(came)} and belongs to no enrollment"
            yield Violation(came, "I5", sentence)
            continue
        told = facts.told_of(message_id)
        if not told.ends and not facts.remembered(message_id, facts.came[message_id]):
            continue
        if told.ends != 1:
            words = ", ".join(event.name for event in facts.messages.get(message_id, ())) or "nothing"
            yield Violation(
                came,
                "I5",
                f"{facts.name_of(message_id)} came at {text(came)}; delivery.events tells of {words}: "
                f"{told.ends} ends instead of one",
            )
        elif told.resolved > told.unknown:
            times = f"resolved {told.resolved} times, unknown {told.unknown}"
            yield Violation(came, "I5", f"{facts.name_of(message_id)} was {times}")
        yield from _kept(facts, message_id, came)
    yield from _not_taken(facts)
    if facts.history.arrivals:
        yield from _for_a_reason(facts)
    for message_id, events in facts.messages.items():
        sent = next((event for event in events if event.name == "MessageSent"), None)
        if sent is not None and message_id not in facts.accepted and facts.history.arrivals:
            at = sent.time("occurred_at")
            yield Violation(at, "I5", f"{facts.name_of(message_id)} was said to be sent at {text(at)}, and never came")


def _not_taken(facts: Facts) -> Iterator[Violation]:
    """What no sink took ends at most once; what one refused for good, once."""
    for message_id in (facts.came.keys() | facts.messages.keys() | facts.ended.keys()) - facts.accepted.keys():
        if message_id not in facts.of_message or facts.forgotten(message_id):
            continue
        came = facts.came.get(message_id, [])
        refused = next((one.at for one in came if one.outcome == "refused"), None)
        ends, rows = facts.told_of(message_id).ends, facts.ended.get(message_id, [])
        told = facts.messages.get(message_id, [])
        at = refused or (told[0].at if told else facts.run.began)
        if ends > 1 or (refused is not None and ends != 1):
            words = ", ".join(event.name for event in told) or "nothing"
            what = "was refused" if refused is not None else "was taken by no sink"
            sentence = f"{facts.name_of(message_id)} {what}; delivery.events tells of {words}: {ends} ends"
            yield Violation(at, "I5", sentence)
        elif ends:
            yield from _kept(facts, message_id, at)
        elif len(rows) > 1:
            yield Violation(at, "I5", f"{facts.name_of(message_id)} has {len(rows)} rows in delivery.message")
        elif rows and rows[0]["outcome"] != "dropped":
            what = f"{facts.name_of(message_id)} is {rows[0]['outcome']} in delivery.message"
            yield Violation(at, "I5", f"{what}, and no event tells of it")


def _for_a_reason(facts: Facts) -> Iterator[Violation]:
    """Nothing is given up that a sink would have taken, and nothing is in doubt where nothing breaks.

    But for a send that took longer than it may: how busy the machine was no history tells.
    """
    for event in facts.named.get("MessageFailed", ()):
        message_id, attempt = event.data["message_id"], event.data["attempt"]
        refused = any(arrival.outcome == "refused" for arrival in facts.came.get(message_id, ()))
        if not refused and attempt < ATTEMPTS_MAX:
            yield Violation(
                event.time("occurred_at"),
                "I5",
                f"{facts.name_of(message_id)} was given up at its {attempt}. attempt ({event.data['code']}), and no "
                "sink had refused it",
            )
    for event in facts.named.get("MessageUnknown", ()) if facts.run.calm else ():
        if event.data["reason"] != "timeout":
            name, why = facts.name_of(event.data["message_id"]), event.data["reason"]
            yield Violation(event.time("occurred_at"), "I5", f"{name} was in doubt ({why}), and nothing broke")


def _kept(facts: Facts, message_id: str, at: datetime) -> Iterator[Violation]:
    """The record that delivery keeps says the same, where its sequence was not erased."""
    entry, _ = facts.of_message[message_id]
    life = facts.lives.get(entry.sequence_id)
    if life is None or life.status == "deleted" or "delivery.message" not in facts.rows:
        return
    rows = facts.ended.get(message_id, [])
    told = facts.messages.get(message_id, [])
    if len(rows) != 1:
        yield Violation(at, "I5", f"{facts.name_of(message_id)} has {len(rows)} rows in delivery.message")
    elif told and rows[0]["outcome"] != _outcome(told[-1].name, told[-1].data.get("outcome")):
        yield Violation(
            told[-1].time("occurred_at"),
            "I5",
            f"{facts.name_of(message_id)} is {rows[0]['outcome']} in delivery.message, and the last event is "
            f"{told[-1].name}",
        )


def _outcome(name: str, resolved: str | None) -> str:
    if name in ENDS or name == "MessageUnknown":
        return name.removeprefix("Message").lower()
    return resolved or name
