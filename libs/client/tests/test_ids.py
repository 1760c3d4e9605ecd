"""Ids of commands that were given none."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sluice._clock import new_id, utc_now

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_ids_are_uuids_that_stand_in_the_order_of_time() -> None:
    before = milliseconds()
    made = [UUID(new_id()) for _ in range(1_000)]
    after = milliseconds()

    assert len(set(made)) == 1_000
    assert {one.version for one in made} == {7}
    times = [one.int >> 80 for one in made]
    assert [before, *times, after] == sorted([before, *times, after])


def milliseconds() -> int:
    return (utc_now() - EPOCH) // timedelta(milliseconds=1)
