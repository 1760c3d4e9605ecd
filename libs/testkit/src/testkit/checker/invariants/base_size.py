"""I8: queue tables return to their base size."""

from collections.abc import Iterator

from testkit.checker.facts import Facts
from testkit.checker.violation import Violation


def queues_are_empty_again(facts: Facts) -> Iterator[Violation]:
    """I8, at rest. (That no cost grows with what is done is measured: see benchmarks.)"""
    for table, (before, after) in sorted(facts.run.sizes.items()):
        if after > before:
            yield Violation(facts.run.ended, "I8", f"{table} has {after} rows at rest, and had {before} before the run")
