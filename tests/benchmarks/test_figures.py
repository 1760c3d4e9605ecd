"""What stands in the table of the benchmarks follows from the rounds that were measured."""

import pytest

from benchmarks.figures import Figure, Measured, Round, in_turns

RATIO = Figure("R", "ours ÷ other", 0.5, 1.0)
LATENCY = Figure("R", "late by", 100, 20, "less", " ms")
NEVER = Figure("R", "lost", 0, 0, "less")


def measured(figure: Figure, *values: float) -> Measured:
    return Measured(figure, [Round(value, value) for value in values])


async def test_who_is_first_changes_with_each_round() -> None:
    order: list[str] = []

    async def ours() -> float:
        order.append("ours")
        return 3.0

    async def other() -> float:
        order.append("other")
        return 4.0

    rounds = [await in_turns(number, ours, other) for number in range(3)]

    assert order == ["other", "ours", "ours", "other", "other", "ours"]
    assert rounds == [Round(0.75, 3.0, 4.0)] * 3


@pytest.mark.parametrize(
    ("of", "value", "holds"),
    [
        (measured(RATIO, 0.4, 0.6, 0.5), 0.5, True),
        (measured(RATIO, 0.4, 0.9, 0.4), 0.4, False),
        (measured(LATENCY, 20, 101, 90), 90, True),
        (measured(LATENCY, 20, 101, 120), 101, False),
        (measured(NEVER, 0, 0, 0), 0, True),
    ],
)
def test_a_figure_is_the_median_of_its_rounds_and_holds_where_that_reaches_what_it_must(
    of: Measured, value: float, holds: bool
) -> None:
    assert (of.value, of.holds) == (value, holds)


def test_what_may_never_be_is_not_hidden_by_rounds_in_which_it_was_not() -> None:
    once = measured(NEVER, 0, 1, 0)

    assert (once.value, once.holds, once.spread) == (1, False, (0, 1))
