"""I9: a poison record delays its neighbours by less than a second and ends in quarantine, byte for byte."""

from collections.abc import Iterator
from statistics import median
from typing import Final

from sluice_contracts import topics

from testkit.checker.facts import Facts
from testkit.checker.history import Record
from testkit.checker.violation import Violation, text

PREFIX: Final = "sluice-quarantine-"
DELAY_SECONDS_MAX: Final = 1.0
READERS: Final = {
    topics.SEQUENCES_COMMANDS: ("sequences",),
    topics.SEQUENCES_EVENTS: ("enrollment", "delivery", "console"),
    topics.ENROLLMENT_COMMANDS: ("enrollment",),
    topics.ENROLLMENT_IMPORTS: ("enrollment",),
    topics.ENROLLMENT_REMOVALS: ("enrollment",),
    topics.ENROLLMENT_EVENTS: ("delivery", "console"),
    topics.ENROLLMENT_CONTROL: ("delivery", "console"),
    topics.DELIVERY_COMMANDS: ("delivery",),
    topics.DELIVERY_EVENTS: ("enrollment", "console"),
    topics.CONTACTS_EVENTS: ("enrollment", "delivery", "console"),
}
"""Whose quarantine a record of each topic ends in."""


def poison_is_set_aside(facts: Facts) -> Iterator[Violation]:
    """I9."""
    places = {
        (record.topic, header(record, "topic"), header(record, "partition"), header(record, "offset")): record
        for record in facts.history.records
        if record.topic in topics.QUARANTINES
    }
    for asked in facts.history.clients:
        poison = asked.record
        if asked.kind != "poison" or poison is None:
            continue
        for service in READERS.get(poison.topic, ()):
            name = topics.QUARANTINE_OF[service]
            kept = places.get((name, poison.topic, str(poison.partition), str(poison.offset)))
            where = f"{asked.type} at {poison.topic}:{poison.partition}:{poison.offset}"
            if kept is None:
                yield Violation(asked.asked_at, "I9", f"{where} is not in {name}")
            elif (kept.key, kept.value) != (poison.key, poison.value):
                yield Violation(asked.asked_at, "I9", f"{where} is in {name} with other bytes than it came with")
            elif _theirs(kept) != poison.headers:
                yield Violation(asked.asked_at, "I9", f"{where} is in {name} with other headers than it came with")
    yield from _neighbours(facts)


def _neighbours(facts: Facts) -> Iterator[Violation]:
    """Compared with how long commands took in this run that were no neighbours."""
    took = [(one.heard_at - one.asked_at).total_seconds() for one in facts.commands if one.heard_at is not None]
    if not took:
        return
    allowed = median(took) + DELAY_SECONDS_MAX
    for asked in facts.commands:
        if asked.kind != "neighbour":
            continue
        if asked.heard_at is None or (asked.heard_at - asked.asked_at).total_seconds() > allowed:
            heard = "never" if asked.heard_at is None else f"at {text(asked.heard_at)}"
            yield Violation(
                asked.asked_at,
                "I9",
                f"{asked.type} {asked.id}, written to {asked.topic} behind poison at {text(asked.asked_at)}, was "
                f"answered {heard}; {allowed:.1f} s allowed",
            )


def header(record: Record, name: str) -> str | None:
    """What we said of a record in quarantine."""
    found = next((value for key, value in record.headers if key == PREFIX + name), None)
    return None if found is None else found.decode(errors="replace")


def _theirs(record: Record) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, value) for name, value in record.headers if not name.startswith(PREFIX))
