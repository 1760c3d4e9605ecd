"""The active clock: it stands while paused, and remembers what it showed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from campaign.active_clock import ActiveClock, Stretch, stretch_of
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def clock(*pauses: tuple[int, int]) -> ActiveClock:
    """A clock with these past pauses, in hours from noon, all of them shifted."""
    stretches, offset = [], timedelta()
    for begin, end in pauses:
        after = offset + (end - begin) * HOUR
        stretches.append(Stretch(NOON + begin * HOUR, NOON + end * HOUR, offset, after))
        offset = after
    return ActiveClock(offset, past=tuple(stretches))


def test_a_sequence_that_was_never_paused_runs_on_the_plain_clock() -> None:
    assert ActiveClock().at(NOON) == NOON


def test_it_stands_still_while_paused() -> None:
    paused = ActiveClock(offset=HOUR, paused_at=NOON)

    assert {paused.at(NOON + later * HOUR) for later in (0, 5, 500)} == {NOON - HOUR}
    assert paused.at(NOON - HOUR) == NOON - 2 * HOUR


def test_a_past_instant_is_seen_as_it_was_seen_then() -> None:
    found = [clock((2, 5), (7, 8)).at(NOON + hours * HOUR) for hours in (1, 2, 4, 5, 6, 7, 8, 9)]

    assert found == [NOON + hours * HOUR for hours in (1, 2, 2, 2, 3, 4, 4, 5)]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.lists(st.integers(0, 100), min_size=2, max_size=20))
def test_it_never_goes_back_nor_faster_than_the_plain_clock(gaps: list[int], hours: list[int]) -> None:
    edges = [sum(gaps[: number + 1]) for number in range(len(gaps) // 2 * 2)]
    found = clock(*zip(edges[::2], edges[1::2], strict=True))
    moments = sorted(NOON + hour * HOUR for hour in hours)

    for earlier, later in pairwise(moments):
        assert timedelta() <= found.at(later) - found.at(earlier) <= later - earlier


def test_the_last_pause_is_read_from_the_state() -> None:
    shifted = stretch_of(paused_at=NOON, resumed_at=NOON + HOUR, offset_after=3 * HOUR)
    sent_now = stretch_of(paused_at=NOON, resumed_at=NOON + HOUR, offset_after=3 * HOUR, shifted=False)

    assert shifted == Stretch(NOON, NOON + HOUR, 2 * HOUR, 3 * HOUR)
    assert sent_now == Stretch(NOON, NOON + HOUR, 3 * HOUR, 3 * HOUR)
    assert stretch_of(paused_at=NOON, resumed_at=NOON - HOUR, offset_after=HOUR) is None
