"""I11: every command gets exactly one answer; the same id again gets the same one, and nothing is said otherwise."""

from collections.abc import Iterator
from typing import Final

from sluice_contracts import topics

from testkit.checker.facts import Event, Facts
from testkit.checker.history import Asked
from testkit.checker.violation import Violation

RECEIPTS: Final = frozenset(
    {"EntryClosed", "SequenceHalted", "ContactHalted", "DeliverySuspended", "SequenceErased", "ContactErased"}
)
AGAIN: Final = frozenset({"receipts", "updated_at"})
"""What a state that is said again may say otherwise."""


def each_command_is_answered_once(facts: Facts) -> Iterator[Violation]:
    """I11. A repeat of an answer says the same again; another id on the topic is another answer.

    Who asks again hears it again: a client listens only for what is said after it has asked.
    """
    asked: dict[tuple[str, str], Asked] = {}
    for one in facts.commands:
        asked.setdefault((one.source, one.id), one)
    for identity, command in asked.items():
        answers = facts.answers.get(identity, [])
        name = f"{command.type} {command.id}"
        if not answers:
            yield Violation(command.asked_at, "I11", f"{name}, written to {command.topic}, was never answered")
        elif len(answers) > 1:
            places = ", ".join(f"{one.name} at {one.topic}:{one.partition}:{one.offset}" for one in answers)
            yield Violation(answers[1].at, "I11", f"{name} was answered again: {places}")
    for first, again in facts.said_otherwise:
        if _is_receipt_again(facts, first, again):
            continue
        places = ", ".join(f"{one.topic}:{one.partition}:{one.offset}" for one in (first, again))
        what = f"{first.name} {first.id}"
        if again.topic in topics.ANSWER_TOPICS:
            what = f"the answer to {first.data['command']['type']} {first.data['command']['id']}"
        yield Violation(again.at, "I11", f"{what} stands again under its id, and says something else: {places}")
    for one in facts.commands:
        answers = facts.answers.get((one.source, one.id), [])
        if one.heard is None and one.kind in ("command", "neighbour"):
            yield Violation(one.asked_at, "I11", f"{one.type} {one.id} was asked until its client gave up, unanswered")
        if one.heard is None or len(answers) != 1:
            continue
        told = {name: answers[0].data.get(name) for name in one.heard}
        if told != dict(one.heard):
            sentence = f"{one.type} {one.id} was heard to be answered {dict(one.heard)}, and its topic says {told}"
            yield Violation(one.heard_at or one.asked_at, "I11", sentence)


def _is_receipt_again(facts: Facts, first: Event, again: Event) -> bool:
    """Whose database was put back gives a receipt again for a stop that it has taken in again: of later, and of what it
    found then. So what a sequence is told to be is the same but for receipts and times. All else stands as it was."""
    after = any(
        one.service == again.source and first.at < one.since and one.until < again.at for one in facts.run.put_backs
    )
    return after and (again.name in RECEIPTS or (again.topic == topics.SEQUENCES_EVENTS and _same(first, again)))


def _same(first: Event, again: Event) -> bool:
    """Whether two states are one but for what a second receipt changes."""
    one, other = ({name: told for name, told in event.data.items() if name not in AGAIN} for event in (first, again))
    return (first.name, one) == (again.name, other)
