"""I9: a poison record delays its neighbours by less than a second and ends in quarantine, byte for byte.

What can be answered, or is nobody's business, does not end there.
"""

from collections.abc import Iterator
from statistics import median
from typing import Final

from sluice_contracts import topics
from sluice_contracts.asyncapi import SERVICES

from testkit.checker.facts import Facts
from testkit.checker.history import Record
from testkit.checker.violation import Violation, text

PREFIX: Final = "sluice-quarantine-"
DELAY_SECONDS_MAX: Final = 1.0
READERS: Final = {
    topic: tuple(service.name for service in SERVICES if topic in service.receives)
    for topic in sorted({topic for service in SERVICES for topic in service.receives})
}
"""Whose quarantine a record of each topic ends in: of everybody who reads it, as their documents say."""


def poison_is_set_aside(facts: Facts) -> Iterator[Violation]:
    """I9."""
    places = {
        (record.topic, header(record, "topic"), header(record, "partition"), header(record, "offset")): record
        for record in facts.history.records
        if record.topic in topics.QUARANTINES
    }
    for asked in facts.history.clients:
        written = asked.record
        if written is None:
            continue
        for service in READERS.get(written.topic, ()):
            name = topics.QUARANTINE_OF[service]
            kept = places.get((name, written.topic, str(written.partition), str(written.offset)))
            troubled = asked.kind == "poison" and service not in asked.untroubled
            if what := _wrong(written, kept, name) if troubled else _needless(kept, name):
                where = f"{asked.type} at {written.topic}:{written.partition}:{written.offset}"
                yield Violation(asked.asked_at, "I9", f"{where} is {what}")
    yield from _refusals(facts)
    yield from _neighbours(facts)


def _wrong(written: Record, kept: Record | None, name: str) -> str | None:
    if kept is None:
        return f"not in {name}"
    if (kept.key, kept.value) != (written.key, written.value):
        return f"in {name} with other bytes than it came with"
    return f"in {name} with other headers than it came with" if _theirs(kept) != written.headers else None


def _needless(kept: Record | None, name: str) -> str | None:
    return None if kept is None else f"in {name}, and need not be set aside"


def _refusals(facts: Facts) -> Iterator[Violation]:
    """That they are answered at all is I11."""
    for asked in facts.commands:
        for answer in facts.answers.get((asked.source, asked.id), ()) if asked.kind == "refused" else ():
            if answer.data.get("code") != "invalid":
                told = answer.data.get("code", answer.name)
                yield Violation(answer.at, "I9", f"{asked.type}, written to {asked.topic}, was answered {told}")


def _neighbours(facts: Facts) -> Iterator[Violation]:
    """Compared with how long commands took in this run before the first poison was written."""
    neighbours = [one for one in facts.commands if one.kind == "neighbour"]
    if not neighbours:
        return
    poisoned_at = min((one.asked_at for one in facts.history.clients if one.kind == "poison"), default=facts.run.ended)
    took = [
        (one.heard_at - one.asked_at).total_seconds()
        for one in facts.commands
        if one.heard_at is not None and one.heard_at < poisoned_at
    ]
    if not took:
        yield Violation(poisoned_at, "I9", "nothing was answered before the first poison: delays are not known")
        return
    allowed = median(took) + DELAY_SECONDS_MAX
    for asked in neighbours:
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
