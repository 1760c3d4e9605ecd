"""The books stay closed whatever is added to them."""

from delivery.domain import books
from delivery.domain.books import Books, by_sequence
from hypothesis import given
from hypothesis import strategies as st

CHANGES = (books.PLANNED, books.UNPLANNED, books.DROPPED, books.RELEASED, books.UNKNOWN, books.RESUMED, books.NOTHING)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(CHANGES), st.integers(0, 1_000)), max_size=40))
def test_any_sum_of_changes_is_closed(made: list[tuple[str, Books, int]]) -> None:
    total = by_sequence((sequence, change * times) for sequence, change, times in made)

    for one in total.values():
        assert one.closed
        assert one.reported(stopped=True).closed
        assert one.reported(stopped=True).pending == 0


def test_what_is_out_of_balance_is_not_closed() -> None:
    assert not Books(planned=2, pending=1).closed


def test_while_stopped_what_waits_counts_as_dropped() -> None:
    kept = Books(planned=5, pending=3, sent=1, dropped=1)

    assert kept.reported(stopped=True) == Books(planned=5, sent=1, dropped=4)
    assert kept.reported(stopped=False) == kept
