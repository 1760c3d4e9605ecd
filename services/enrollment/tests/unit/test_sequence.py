"""When entry closes, and that it says so once."""

from dataclasses import replace
from datetime import UTC, datetime

from enrollment.domain.sequence import PauseOver, Sequence, Status, fence, hear, pause_over, vanish
from hypothesis import given
from hypothesis import strategies as st
from sluice_contracts.enrollment import EntryClosed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTIVE = Sequence("s", 1, Status.ACTIVE, 0, version=1, campaign="spring")


def paused(*, state_version: int = 2, epoch: int = 1) -> Sequence:
    return Sequence("s", state_version, Status.PAUSED, epoch, version=1)


def test_a_pause_closes_entry_at_the_time_after_the_lock() -> None:
    decision = hear(ACTIVE, paused(), now=NOON)

    assert decision.messages == (EntryClosed(sequence_id="s", epoch=1, closed_at=NOON),)
    assert decision.state == replace(paused(), closed_epoch=1, paused_epoch=1)


def test_the_same_pause_again_says_nothing() -> None:
    closed = hear(ACTIVE, paused(), now=NOON).state

    assert hear(closed, paused(), now=NOON).state is None
    assert hear(closed, paused(state_version=3), now=NOON).messages == ()


def test_a_deletion_is_for_good_and_keeps_nothing_of_what_it_was() -> None:
    gone = hear(ACTIVE, Sequence("s", 2, Status.DELETED, 1, version=1, campaign="spring"), now=NOON).state

    assert gone == Sequence("s", 2, Status.DELETED, 1, closed_epoch=1)
    assert hear(gone, replace(ACTIVE, state_version=9, epoch=9), now=NOON).state is None
    assert fence(gone, "s", state_version=9, status="active", epoch=9, now=NOON).state is None
    assert vanish(gone).state is None


def test_a_fence_that_names_a_pause_gives_its_receipt() -> None:
    decision = fence(ACTIVE, "s", state_version=2, status="paused", epoch=1, now=NOON)

    assert [type(message) for message in decision.messages] == [EntryClosed]
    assert decision.state is not None
    assert (decision.state.status, decision.state.closed_epoch) == (Status.PAUSED, 1)


def test_a_fence_of_which_little_can_be_read_closes_without_a_receipt_and_opens_again() -> None:
    closed = fence(ACTIVE, "s", state_version=None, status=None, epoch=None, now=NOON)

    assert closed.messages == ()
    assert closed.state is not None
    assert closed.state.status is Status.CLOSED
    opened = hear(closed.state, replace(ACTIVE, state_version=2), now=NOON).state
    assert opened is not None
    assert opened.status is Status.ACTIVE


def test_an_old_fence_changes_nothing() -> None:
    assert fence(ACTIVE, "s", state_version=1, status="paused", epoch=1, now=NOON).state is None


STATES = st.builds(
    Sequence,
    sequence_id=st.just("s"),
    state_version=st.integers(0, 20),
    status=st.sampled_from([Status.DRAFT, Status.ACTIVE, Status.PAUSED, Status.DELETED]),
    epoch=st.integers(0, 6),
    version=st.one_of(st.none(), st.just(1)),
)


@given(st.lists(st.tuples(st.booleans(), STATES), max_size=40))
def test_in_whatever_order_records_come_an_epoch_has_at_most_one_receipt(heard: list[tuple[bool, Sequence]]) -> None:
    known: Sequence | None = None
    receipts: list[int] = []
    for whole, news in heard:
        decision = (
            hear(known, news, now=NOON)
            if whole
            else fence(known, "s", state_version=news.state_version, status=news.status, epoch=news.epoch, now=NOON)
        )
        receipts += [message.epoch for message in decision.messages if isinstance(message, EntryClosed)]
        if decision.state is not None:
            assert known is None or decision.state.state_version >= known.state_version
            known = decision.state
        if known is not None and known.status in (Status.PAUSED, Status.DELETED):
            assert known.closed_epoch is not None
            assert known.closed_epoch >= known.epoch

    assert receipts == sorted(set(receipts))


@given(st.lists(st.tuples(st.booleans(), STATES, st.booleans()), max_size=40))
def test_every_pause_in_which_somebody_may_be_turned_away_is_open_or_known_to_be_over(
    heard: list[tuple[bool, Sequence, bool]],
) -> None:
    known: Sequence | None = None
    paused, over = set[int](), list[PauseOver]()
    for whole, news, admit in heard:
        decision = (
            hear(known, news, now=NOON)
            if whole
            else fence(known, "s", state_version=news.state_version, status=news.status, epoch=news.epoch, now=NOON)
        )
        if decision.state is None:
            continue
        ended = pause_over(known, decision.state, admit=admit)
        over += [ended] if ended is not None else []
        known = decision.state
        if known.status is Status.PAUSED:
            assert known.paused_epoch == known.epoch
            paused.add(known.epoch)

    settled = {one.epoch for one in over}
    still_open = {known.paused_epoch} if known is not None and known.paused_epoch is not None else set()
    if known is None or known.status is not Status.DELETED:
        assert settled | still_open == paused


def test_only_the_resume_of_that_pause_admits() -> None:
    closed = hear(ACTIVE, paused(), now=NOON).state
    assert closed is not None

    def over(status: Status, epoch: int) -> PauseOver | None:
        state = hear(closed, Sequence("s", 9, status, epoch, version=1), now=NOON).state
        assert state is not None
        return pause_over(closed, state, admit=True)

    assert over(Status.ACTIVE, 2) == PauseOver("s", 1, admit=True)
    assert over(Status.PAUSED, 3) == PauseOver("s", 1, admit=True)
    assert over(Status.ACTIVE, 4) == PauseOver("s", 1, admit=False)
    assert over(Status.PAUSED, 1) is None
    assert over(Status.DELETED, 2) is None
