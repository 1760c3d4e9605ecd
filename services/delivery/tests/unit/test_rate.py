"""The bucket of a rate, whoever takes from it and whenever."""

from datetime import UTC, datetime, timedelta

import pytest
from delivery.domain.rate import Rate
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=1)
RATES = st.floats(min_value=0.01, max_value=5_000.0)
STEPS = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 10_000)), max_size=40)


def test_an_idle_lane_may_send_half_a_seconds_worth_at_once_and_no_more() -> None:
    rate = Rate(50.0)

    spent = rate.spend(LONG_AGO, 25, now=NOON)

    assert rate.available(LONG_AGO, now=NOON) == 25
    assert rate.available(spent, now=NOON) == 0
    assert rate.available(spent, now=NOON + timedelta(seconds=0.1)) == 5


def test_a_slow_rate_lets_one_go_at_a_time() -> None:
    rate = Rate(0.1)

    spent = rate.spend(LONG_AGO, 1, now=NOON)

    assert rate.available(LONG_AGO, now=NOON) == 1
    assert rate.available(spent, now=NOON + timedelta(seconds=9.9)) == 0
    assert rate.available(spent, now=NOON + timedelta(seconds=10)) == 1


@given(RATES, STEPS)
def test_in_no_stretch_of_time_is_more_sent_than_the_rate_and_one_burst(
    per_second: float, steps: list[tuple[int, int]]
) -> None:
    rate, spent_until, now = Rate(per_second), LONG_AGO, NOON
    taken: list[tuple[datetime, int]] = []
    for pause, wanted in steps:
        now += timedelta(microseconds=pause)
        count = min(wanted, rate.available(spent_until, now=now))
        spent_until = rate.spend(spent_until, count, now=now)
        taken.append((now, count))

    for start in range(len(taken)):
        total = 0
        for at, count in taken[start:]:
            total += count
            seconds = (at - taken[start][0]).total_seconds()
            assert total <= seconds * per_second + rate.burst + 1e-3


@given(RATES, st.integers(1, 200))
def test_who_takes_as_soon_as_there_is_something_gets_the_rate(per_second: float, rounds: int) -> None:
    rate, spent_until, now = Rate(per_second), NOON, NOON
    wait = timedelta(seconds=1 / per_second) + timedelta(microseconds=2)
    total = 0
    for _ in range(rounds):
        now += wait
        count = rate.available(spent_until, now=now)
        spent_until = rate.spend(spent_until, count, now=now)
        total += count

    assert total >= rounds * (1 - 0.02) - 1


@given(RATES, st.integers(1, 500))
def test_what_was_spent_and_did_not_leave_can_be_had_again(per_second: float, count: int) -> None:
    rate = Rate(per_second)
    count = min(count, rate.available(LONG_AGO, now=NOON))

    spent = rate.spend(LONG_AGO, count, now=NOON)
    credited = rate.credit(spent, count)

    left = rate.available(spent, now=NOON)
    assert left + count - 1 <= rate.available(credited, now=NOON) <= rate.burst + 1e-3


def test_a_clock_that_was_set_back_holds_nothing_up_for_longer_than_a_burst() -> None:
    rate = Rate(10.0)
    spent = rate.spend(LONG_AGO, 5, now=NOON)
    back = NOON - timedelta(hours=1)

    set_back = rate.spend(spent, 0, now=back)

    assert rate.available(spent, now=back) == 0
    assert rate.available(set_back, now=back + timedelta(seconds=0.5)) == 5


@pytest.mark.parametrize("per_second", [0.0, -1.0, 1e9, float("nan")])
def test_what_is_no_rate_is_refused(per_second: float) -> None:
    with pytest.raises(ValueError, match="per second"):
        Rate(per_second)
