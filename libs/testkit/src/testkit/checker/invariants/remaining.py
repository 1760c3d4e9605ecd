"""I7: after a pause and a resume (`shift`) each remaining step is sent once, with its remaining delay."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from testkit.checker.facts import Entry, Facts, Pause, delay_of, standing
from testkit.checker.invariants.order import CLOCK
from testkit.checker.violation import Violation, text


def delays_are_kept(facts: Facts) -> Iterator[Violation]:
    """I7: what it was due by is what its delay and the shifted pauses make it, counted from the step before.

    The step before ended between the `sent_at` that was told of it and the time in its row of delivery.message, which
    is the database's clock at the end of the statement that planned the next one. Where that was expired or in doubt,
    the delay counts from elsewhere: not judged.
    """
    for told in facts.messages.values():
        for event in told:
            if event.name != "MessageSent" or event.data["enrollment_id"] not in facts.entries:
                continue
            entry = facts.entries[event.data["enrollment_id"]]
            bases = _bases(facts, entry, event.data)
            life = facts.lives.get(entry.sequence_id)
            if bases is None or life is None:
                continue
            step_id, due, pauses = event.data["step_id"], event.time("due_at"), life.pauses()
            slack = timedelta(seconds=facts.run.booking_lag_seconds)
            versions = life.steps_since(entry.version, facts.run.ended)
            delays = {delay_of(one[step_id]) for one in versions if step_id in one}
            # What ended in a pause of which delivery had not heard yet counts from its end, not from the pause's begin.
            shifted = {base: _shifted(base, event.time("sent_at"), pauses) for base in bases}
            earliest = min(standing(base, pauses) + shifted[base] for base in bases)
            latest = max(base + shifted[base] for base in bases)
            if delays and not any(earliest + one - CLOCK <= due <= latest + one + CLOCK + slack for one in delays):
                nearest = min((latest + one for one in delays), key=lambda one: abs(due - one))
                yield Violation(
                    event.time("sent_at"),
                    "I7",
                    f"{facts.name_of(event.data['message_id'])} was due at {text(due)}; counted from {text(bases[-1])} "
                    f"with {shifted[bases[-1]].total_seconds():.3f} s of shifted pauses it is {text(nearest)}",
                )


def _shifted(base: datetime, sent_at: datetime, pauses: Sequence[Pause]) -> timedelta:
    """By how much pauses have moved what was planned at `base`."""
    return sum((one.shifted for one in pauses if base < one.resumed_at <= sent_at), timedelta())


def _bases(facts: Facts, entry: Entry, data: Mapping[str, Any]) -> tuple[datetime, ...] | None:
    """What a step's delay counts from, at the earliest and at the latest; None where that cannot be told."""
    rows = facts.courses.get(entry.id, [])
    own = next((number for number, (_, row) in enumerate(rows) if row["message_id"] == data["message_id"]), None)
    if own is None:
        return None
    if own == 0:
        return (entry.at,)
    ended_at, before = rows[own - 1]
    if before["outcome"] != "sent" or before["resolved_at"] is not None:
        return None
    told = (one.time("sent_at") for one in facts.messages.get(before["message_id"], ()) if one.name == "MessageSent")
    return (min(next(told, ended_at), ended_at), ended_at)
