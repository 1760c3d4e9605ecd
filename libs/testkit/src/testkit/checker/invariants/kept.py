"""What services keep at rest is what they told: enrollments (I1), sequences and the gates that delivery goes by (I6).

Of deleted sequences nothing is kept. Each is asked for only where the rows of its table were collected.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from testkit.checker.facts import Facts
from testkit.checker.violation import Violation, text

ENDED_BY: Final[Mapping[str, str | None]] = {
    "active": None,
    "completed": "EnrollmentCompleted",
    "stopped": "EnrollmentStopped",
    "removed": "ContactRemoved",
    "failed": "EnrollmentFailed",
}
"""The event that tells of each status of an enrollment."""


def enrollments_are_as_told(facts: Facts) -> Iterator[Violation]:
    """Who is in is told to be in, and who is told to be out is out, in that way."""
    table = "enrollment.enrollment"
    if table not in facts.rows:
        return
    rows = {row["enrollment_id"]: row for row in facts.rows[table]}
    for entry in facts.entries.values():
        life = facts.lives.get(entry.sequence_id)
        if life is None or life.status == "deleted":
            continue
        row, told = rows.get(entry.id), entry.how or f"entered at {text(entry.at)} and lives"
        if row is None:
            yield Violation(entry.ended_at or entry.at, "I1", f"{entry}, told: {told}, has no row in {table}")
        elif ENDED_BY[row["status"]] != entry.how:
            sentence = f"{entry} is {row['status']} in {table}, and what was told is: {told}"
            yield Violation(entry.ended_at or entry.at, "I1", sentence)
    for enrollment_id, row in rows.items():
        life = facts.lives.get(row["sequence_id"])
        if enrollment_id not in facts.entries and life is not None and life.status != "deleted":
            sentence = f"enrollment {enrollment_id} is {row['status']} in {table}, and no ContactEnrolled tells of it"
            yield Violation(facts.run.ended, "I1", sentence)


def sequences_are_as_told(facts: Facts) -> Iterator[Violation]:
    """The newest state is what its service keeps and what delivery has heard; a gate is open where that is active.

    Of the sequences that clients of this run have asked for: who reads all topics again may say again what others are.
    """
    asked = {command.data.get("sequence_id") for command in facts.commands}
    for table in ("sequences.sequence", "delivery.gate"):
        if table not in facts.rows:
            continue
        rows = {row["sequence_id"]: row for row in facts.rows[table]}
        for sequence_id, life in facts.lives.items():
            if life.status == "deleted" or sequence_id not in asked:
                continue
            state, row = life.states[-1], rows.get(sequence_id, {})
            told = {name: state.data[name] for name in ("state_version", "status", "epoch")}
            if table == "delivery.gate":
                told["open"] = life.status == "active"
            kept = {name: row.get(name) for name in told}
            if kept != told:
                sentence = f"{table} holds {kept} of {sequence_id}, and {state.name} tells {told}"
                yield Violation(state.at, "I6", sentence)
