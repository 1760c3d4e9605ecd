"""What ends of enrollments do, and what a removal's receipt says of them."""

from dataclasses import replace

from delivery.domain.books import Books
from delivery.domain.ending import Held, Removal, end, owe


def held(enrollment_id: str, *, token: int | None = None, halted: bool = False, sequence_id: str = "s") -> Held:
    return Held(enrollment_id, sequence_id, "c", "spring", token, halted)


def test_what_waits_is_dropped_and_what_is_claimed_is_halted() -> None:
    found = end({"a", "b", "z"}, [held("a"), held("b", token=1), held("other")])

    assert (found.waiting, found.halted, found.unknown) == (("a",), ("b",), ())
    assert found.books == {"s": Books(pending=-1, dropped=1)}


def test_what_may_have_arrived_and_waits_for_its_next_attempt_is_unknown_and_not_dropped() -> None:
    doubtful = replace(held("a"), in_doubt=True)

    found = end({"a"}, [doubtful])

    assert (found.waiting, found.unknown) == (("a",), (doubtful,))
    assert found.books == {"s": Books(pending=-1, unknown=1)}
    assert owe(Removal("r", "c", {"a"}), [doubtful]).dropped == 0


def test_what_is_unknown_already_goes_and_stays_unknown_in_the_books() -> None:
    unknown = replace(held("a"), in_doubt=True, lane="unknown:")

    found = end({"a"}, [unknown])

    assert (found.waiting, found.unknown, found.books) == (("a",), (), {"s": Books()})
    assert owe(Removal("r", "c", {"a"}), [unknown]).dropped == 0


def test_a_receipt_names_what_was_removed_and_waits_for_its_claims() -> None:
    owed = owe(Removal("r", "c", {"a", "b", "gone"}), [held("a"), held("b", token=7)])

    assert owed.enrollment_ids == ["a", "b", "gone"]
    assert (owed.dropped, owed.in_flight, owed.waits_for) == (1, 1, {"b": 7})


def test_it_also_waits_for_what_something_else_had_ended_within_its_scope() -> None:
    rows = [held("old", token=7, halted=True), held("later", token=8)]

    scopes = [
        Removal("r", "c", ()),
        Removal("r", "c", (), sequence_id="s"),
        Removal("r", "c", (), campaign="spring"),
        Removal("r", "c", (), sequence_id="other"),
        Removal("r", "c", (), campaign="autumn"),
        Removal("r", "somebody else", ()),
    ]

    assert [list(owe(scope, rows).waits_for) for scope in scopes] == [["old"], ["old"], ["old"], [], [], []]
