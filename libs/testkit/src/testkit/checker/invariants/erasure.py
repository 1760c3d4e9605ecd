"""I10: after an erasure nothing holds a canary that was planted in the sequence."""

from collections.abc import Iterator

from testkit.checker.facts import Facts
from testkit.checker.violation import Violation


def nothing_is_left(facts: Facts) -> Iterator[Violation]:
    """I10. `found` tells of tables and, where a run looked for it after compaction and retention, of topics."""
    completed = {event.data["sequence_id"]: event for event in facts.named.get("SequenceErasureCompleted", ())}
    words = {word: sequence_id for sequence_id, word in facts.run.canaries.items()}
    for found in facts.run.found:
        sequence_id = words.get(found.word)
        if sequence_id in completed and found.count:
            event = completed[sequence_id]
            yield Violation(
                event.at,
                "I10",
                f"{found.where} holds {found.word}, planted in {sequence_id}, {found.count} times after "
                f"SequenceErasureCompleted (sequences.control:{event.partition}:{event.offset})",
            )
    for sequence_id, life in facts.lives.items():
        states = [state for state in life.states if state.data["status"] == "deleted"]
        if states and sequence_id not in completed:
            at = states[0].at
            yield Violation(at, "I10", f"{sequence_id} was deleted, and no SequenceErasureCompleted came")
