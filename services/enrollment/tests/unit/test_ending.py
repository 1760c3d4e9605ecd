"""How enrollments end: removals above all."""

from datetime import UTC, datetime

from enrollment.domain.ending import Ended, Live, Removal, complete, fail, remove, stop
from enrollment.domain.sequence import Sequence, Status
from hypothesis import given
from hypothesis import strategies as st
from sluice_contracts.enrollment import ContactRemoved, EnrollmentCompleted, EnrollmentFailed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAMPAIGNS = {"a": "spring", "b": "spring", "c": None}
LIVE = st.lists(st.sampled_from("abc"), unique=True).map(
    lambda found: [Live(f"e-{one}", "c", one, 1, 0, CAMPAIGNS[one]) for one in found]
)
REMOVALS = st.builds(
    lambda scope, allow: Removal("r", "c", **scope, allow_reentry=allow),
    st.sampled_from([{}, {"sequence_id": "a"}, {"sequence_id": "z"}, {"campaign": "spring"}, {"campaign": "autumn"}]),
    st.booleans(),
)


@given(REMOVALS, LIVE, st.sets(st.sampled_from("az")))
def test_a_removal_says_exactly_what_it_ended_and_blocks_no_more_than_its_scope(
    removal: Removal, live: list[Live], deleted: set[str]
) -> None:
    decision = remove(removal, live, deleted=deleted, now=NOON)

    assert decision.state is not None
    (said,) = decision.messages
    assert isinstance(said, ContactRemoved)
    ended = [end.enrollment for end in decision.state.ends]
    assert ended == [one for one in live if removal.covers(one.sequence_id, one.campaign)]
    assert said.enrollment_ids == decision.result["removed"] == [one.enrollment_id for one in ended]
    assert all(end.status is Ended.REMOVED for end in decision.state.ends)
    assert all(end.allow_reentry is removal.allow_reentry for end in decision.state.ends)
    scopes = {block.scope for block in decision.state.blocks}
    assert not scopes & {f"sequence:{one}" for one in deleted}
    if removal.allow_reentry:
        assert scopes == set()
    elif removal.campaign is not None:
        assert scopes == {f"campaign:{removal.campaign}"}
    else:
        named = {removal.sequence_id} if removal.sequence_id else {one.sequence_id for one in ended}
        assert scopes == {f"sequence:{one}" for one in named - deleted}


def test_a_removal_from_a_campaign_refuses_who_waits_for_a_sequence_that_may_be_of_it() -> None:
    removal = Removal("r", "c", campaign="spring")

    assert removal.refuses("unheard", None)
    assert removal.refuses("drafted", Sequence("drafted", 1, Status.DRAFT, 0))
    assert removal.refuses("in-it", Sequence("in-it", 1, Status.ACTIVE, 0, 1, "spring"))
    assert not removal.refuses("beside", Sequence("beside", 1, Status.ACTIVE, 0, 1, "autumn"))


def test_a_removal_from_a_sequence_refuses_who_waits_for_that_one() -> None:
    removal = Removal("r", "c", sequence_id="a")

    assert removal.refuses("a", None)
    assert not removal.refuses("b", None)
    assert Removal("r", "c").refuses("b", None)


def test_what_lives_is_completed_or_fails_and_what_has_ended_stays() -> None:
    live = Live("e", "c", "s", 1, 0)

    assert [type(one) for one in complete(live, now=NOON).messages] == [EnrollmentCompleted]
    failed = fail(live, step_id="one", code="550", detail="gone", now=NOON)
    assert [type(one) for one in failed.messages] == [EnrollmentFailed]
    assert complete(None, now=NOON).state is None
    assert fail(None, step_id="one", code="550", detail="gone", now=NOON).messages == ()


def test_an_opt_out_stops_all_that_lives() -> None:
    live = [Live("e1", "c", "a", 1, 0), Live("e2", "c", "b", 1, 0)]

    decision = stop(live, reason="opted_out", now=NOON)

    assert decision.state is not None
    assert [end.enrollment for end in decision.state] == live
    assert len(decision.messages) == 2
