"""An enrollment is what its records say together, whichever is heard first and however often."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from random import Random

from console.domain.fact import Change
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)

ENTRY = Change("e", "ada", "welcome", version=1, via="import", contact_offset=3, enrolled_at=NOON)
times = st.integers(0, 5).map(lambda hours: NOON + timedelta(hours=hours))
sends = times.map(lambda at: Change("e", "ada", "welcome", first_sent_at=at))
ends = st.tuples(times, st.sampled_from(["removed", "failed"])).map(
    lambda end: Change("e", "ada", None, status=end[1], ended_at=end[0])
)


@given(st.lists(st.one_of(st.just(ENTRY), sends, ends), min_size=1, max_size=6), st.randoms())
def test_order_and_repetition_do_not_matter(changes: list[Change], random: Random) -> None:
    shuffled = [*changes, *changes]
    random.shuffle(shuffled)

    assert reduce(Change.merge, shuffled) == reduce(Change.merge, changes)


def test_the_earliest_send_and_the_earliest_end_count() -> None:
    late, early = (Change("e", "ada", first_sent_at=NOON + timedelta(hours=hours)) for hours in (2, 1))
    removed = Change("e", "ada", status="removed", ended_at=NOON)
    failed = Change("e", "ada", status="failed", ended_at=NOON + timedelta(hours=1))

    merged = late.merge(early).merge(failed).merge(removed).merge(ENTRY)

    assert (merged.first_sent_at, merged.status, merged.enrolled_at) == (NOON + timedelta(hours=1), "removed", NOON)
