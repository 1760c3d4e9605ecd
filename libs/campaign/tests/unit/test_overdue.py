"""What a resume does with what became due meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from campaign.overdue import Mark, Overdue, mark_of, offset_after

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("overdue", "max_lateness", "expected"),
    [
        ("shift", None, None),
        ("shift", HOUR, None),
        ("send_now", None, None),
        ("send_now", HOUR, Mark(NOON - HOUR, NOON, "max_lateness")),
        ("skip", None, Mark(NOON, NOON, "skip")),
        ("skip", HOUR, Mark(NOON, NOON, "skip")),
    ],
)
def test_only_skip_and_a_bound_on_lateness_leave_a_mark(
    overdue: Overdue, max_lateness: timedelta | None, expected: Mark | None
) -> None:
    assert mark_of(overdue, resumed_active=NOON, max_lateness=max_lateness) == expected


def test_what_follows_an_expired_message_is_not_under_the_mark_even_without_a_delay() -> None:
    mark = Mark(NOON, NOON, "skip")

    assert mark.covers(NOON)
    assert not mark.covers(mark.next_base)


def test_only_a_shifted_pause_is_added_to_the_offset() -> None:
    after: dict[Overdue, timedelta] = {"shift": 3 * HOUR, "send_now": HOUR, "skip": HOUR}

    assert {one: offset_after(one, offset=HOUR, pause=2 * HOUR) for one in after} == after
