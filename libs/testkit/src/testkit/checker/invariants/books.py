"""I5: every planned message stands in one place of its sequence's books, and the books are what the rows come to.

What is dropped before it was claimed leaves no row: of that only the sum is judged. What waits for its provider's word
is booked as unknown, and is neither pending nor claimed.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from testkit.checker.facts import Facts
from testkit.checker.violation import Violation

PLACES: Final = ("pending", "claimed", "sent", "failed", "dropped", "expired", "unknown")


def books_are_right(facts: Facts) -> Iterator[Violation]:
    """Of each sequence that is there in the end."""
    books: dict[str, Counter[str]] = {}
    for table in ("delivery.books", "delivery.books_delta"):
        for row in facts.rows.get(table, ()):
            booked = {name: row[name] for name in ("planned", *PLACES)}
            books.setdefault(row["sequence_id"], Counter()).update(booked)
    rows = _counted(facts)
    for sequence_id, life in facts.lives.items():
        if life.status == "deleted":
            continue
        booked, counted = books.get(sequence_id, Counter()), rows.get(sequence_id, Counter())
        if booked["planned"] != sum(booked[place] for place in PLACES):
            yield Violation(facts.run.ended, "I5", f"the books of {sequence_id} are not closed: {_text(booked)}")
        compared = [place for place in PLACES if place != "dropped"]
        if any(booked[place] != counted[place] for place in compared) or booked["dropped"] < counted["dropped"]:
            yield Violation(
                facts.run.ended,
                "I5",
                f"the books of {sequence_id} say {_text(booked)}; its rows come to {_text(counted)}",
            )


def _counted(facts: Facts) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for row in facts.rows.get("delivery.message", ()):
        found.setdefault(row["sequence_id"], Counter())[row["outcome"]] += 1
    for row in facts.rows.get("delivery.pending", ()):
        if row["lane"] != "unknown:":
            place = "pending" if row["token"] is None else "claimed"
            found.setdefault(row["sequence_id"], Counter())[place] += 1
    return found


def _text(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ("planned", *PLACES) if counts[name]) or "nothing"
