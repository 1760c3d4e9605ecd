"""What a resume lets expire, and what follows it."""

from datetime import UTC, datetime, timedelta

from campaign.definition import Definition, Step
from campaign.overdue import Mark
from campaign.plan import Planned
from delivery.domain.books import Books
from delivery.domain.expiry import Overdue, expire
from hypothesis import given
from hypothesis import strategies as st

LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(
    due=st.integers(-500, 0), lateness=st.integers(0, 400), delays=st.lists(st.integers(0, 50), min_size=1, max_size=4)
)
def test_what_follows_an_expired_message_is_never_under_the_same_mark(
    due: int, lateness: int, delays: list[int]
) -> None:
    resumed = LONG_AGO
    mark = Mark(resumed - timedelta(minutes=lateness), resumed, "max_lateness")
    version = Definition(
        1, tuple(Step(f"s{place}", timedelta(minutes=minutes), "email") for place, minutes in enumerate(delays))
    )
    row = Overdue("e", "s", "c", 1, 1, "s0", "email", 0, False, mark.until + timedelta(minutes=due), resumed, ())

    found = expire(row, mark, effective=version, definitions={1: version})

    assert found.books.closed
    assert found.books.expired == 1
    assert (found.books.planned == 0) == (len(delays) == 1)
    if len(delays) > 1:
        assert isinstance(found.next, Planned)
        assert found.next.due_active > mark.until
        assert found.books == Books(planned=1, expired=1)
