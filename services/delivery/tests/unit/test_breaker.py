"""When the breaker suspends, tries out, and lets everything through again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from delivery.channels.base import Result
from delivery.channels.faults import provider_failed
from delivery.domain.breaker import Count, Limits, Recover, Trip, TryOut, judge, judge_all
from delivery.domain.scope import Scope, Status, close, halt, recover, try_out
from hypothesis import given
from hypothesis import strategies as st
from messaging import Cause

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits()
DOWN = Count(40, {"http_503": 30, "timeout": 10})
WELL = Count(40)
RESTING = Scope("channel:email", Status.SUSPENDED, 1, NOON, halted_at=NOON, breaker=True, rest_seconds=10.0)
TRIAL = Scope("channel:email", Status.RUNNING, 2, NOON, breaker=True, trial=True, rest_seconds=10.0)
COUNTS = st.builds(
    lambda well, failures: Count(well + sum(failures.values()), failures),
    st.integers(0, 200),
    st.dictionaries(st.sampled_from(["http_503", "timeout", "smtp_421"]), st.integers(1, 100), max_size=3),
)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_it_trips_where_half_of_enough_attempts_failed_and_says_why() -> None:
    found = judge(None, Count(30, {"http_503": 20, "timeout": 4}), limits=LIMITS, now=NOON)

    assert found == Trip("24 of 30 attempts failed within 30 s (80 %), most often http_503", 10.0)


@given(COUNTS)
def test_it_trips_neither_on_few_attempts_nor_on_few_failures(count: Count) -> None:
    tripped = isinstance(judge(None, count, limits=LIMITS, now=NOON), Trip)

    assert tripped == (count.tried >= 20 and 2 * count.failed >= count.tried)


@given(COUNTS, st.floats(0, 1e6), st.sampled_from([Status.SUSPENDING, Status.SUSPENDED]))
def test_what_a_person_has_suspended_is_none_of_its_business(count: Count, seconds: float, status: Status) -> None:
    scope = Scope("channel:email", status, 1, NOON, halted_at=NOON if status is Status.SUSPENDED else None)

    assert judge(scope, count, limits=LIMITS, now=after(seconds)) is None


def test_it_is_tried_out_after_its_rest_and_not_before_its_receipt() -> None:
    assert judge(RESTING, Count(), limits=LIMITS, now=after(9.9)) is None
    assert judge(RESTING, Count(), limits=LIMITS, now=after(10)) == TryOut()
    waiting = replace(RESTING, status=Status.SUSPENDING, halted_at=None)
    assert judge(waiting, Count(), limits=LIMITS, now=after(60)) is None


@pytest.mark.parametrize(
    ("count", "verdict"),
    [
        (Count(1, {"http_503": 1}), None),
        (Count(2, {"http_503": 2}), Trip("2 of 2 attempts failed on trial (100 %), most often http_503", 20.0)),
        (Count(4), None),
        (Count(5), Recover()),
        (Count(6, {"http_503": 1}), Recover()),
    ],
)
def test_a_trial_ends_on_a_few_failures_or_successes(count: Count, verdict: object) -> None:
    assert judge(TRIAL, count, limits=LIMITS, now=after(5)) == verdict


def test_a_trial_that_sees_next_to_nothing_ends_by_itself() -> None:
    assert judge(TRIAL, Count(1), limits=LIMITS, now=after(300)) == Recover()
    assert judge(TRIAL, Count(1, {"timeout": 1}), limits=LIMITS, now=after(300)) is None


def test_each_trial_that_fails_doubles_the_rest_up_to_its_bound() -> None:
    rests: list[float] = []
    scope = TRIAL
    for _ in range(7):
        found = judge(scope, Count(2, {"http_503": 2}), limits=LIMITS, now=after(1))
        assert isinstance(found, Trip)
        rests.append(found.rest_seconds)
        scope = replace(scope, rest_seconds=found.rest_seconds)

    assert rests == [20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


@given(COUNTS)
def test_a_sender_that_fails_stops_neither_its_channel_nor_its_neighbours(well: Count) -> None:
    lanes = {"email:": Count(well.tried), "email:bad": DOWN, "email:good": WELL}

    tripped = judge_all({}, lanes, limits=LIMITS, now=NOON)
    bad = replace(RESTING, scope="sender:bad", rest_seconds=60.0)
    resting = judge_all({"sender:bad": bad}, lanes, limits=LIMITS, now=NOON)

    assert set(tripped) == {"sender:bad"}
    assert resting == {}


def test_a_channel_is_judged_by_all_its_lanes() -> None:
    found = judge_all({}, {"email:": DOWN, "webhook:": WELL}, limits=LIMITS, now=NOON)

    assert set(found) == {"channel:email"}


def test_what_rests_is_tried_out_though_nothing_is_counted_any_more() -> None:
    assert judge_all({"channel:email": RESTING}, {}, limits=LIMITS, now=after(10)) == {"channel:email": TryOut()}


def _carried_out(verdict: object, scope: Scope, *, at: datetime) -> Scope:
    match verdict:
        case Trip(reason, rest):
            closed = close(scope, reason=reason, in_flight=0, cause=Cause("tests", "1"), now=at)
            halted = halt(replace(closed, breaker=True, rest_seconds=rest), halted_at=at).state
            assert halted is not None
            return halted
        case TryOut():
            tried = try_out(scope, now=at).state
            assert tried is not None
            return tried
        case Recover():
            return recover(scope, now=at)
        case _:
            return scope


@given(st.integers(5, 60), st.integers(1, 200))
def test_a_provider_that_is_away_sees_little_and_gets_all_again_once_it_is_back(away: int, per_second: int) -> None:
    """A second at a time: at full rate, at rest, on trial at one a second."""
    scope: Scope | None = None
    window: list[tuple[int, int, int]] = []
    seen_while_known = 0
    for second in range(away + 400):
        now = after(second)
        suspended = scope is not None and scope.status is not Status.RUNNING
        tried = 0 if suspended else 1 if scope is not None and scope.trial else per_second
        failed = tried if second < away else 0
        window.append((second, tried, failed))
        since = -1 if scope is None else (scope.changed_at - NOON).total_seconds()
        counted = [one for one in window if one[0] > second - 30 and one[0] >= since]
        fails = sum(one[2] for one in counted)
        count = Count(sum(one[1] for one in counted), {"http_503": fails} if fails else {})
        if scope is not None and scope.epoch and second < away:
            seen_while_known += tried
        verdict = judge(scope, count, limits=LIMITS, now=now)
        scope = _carried_out(verdict, scope or Scope("channel:email", Status.RUNNING, 0, NOON), at=after(second + 1))

    assert scope is not None
    assert (scope.status, scope.trial) == (Status.RUNNING, False)
    assert seen_while_known <= 20


@pytest.mark.parametrize(
    ("result", "failed"),
    [
        (Result.sent(), False),
        (Result.retry("http_503", ""), True),
        (Result.retry("http_429", ""), True),
        (Result.retry("connect", ""), True),
        (Result.unknown("timeout", ""), True),
        (Result.retry("smtp_421", ""), True),
        (Result.retry("smtp_auth", ""), True),
        (Result.retry("smtp_550", "the server refused the sender"), True),
        (Result.refused("smtp_550", "the server refused the recipient"), False),
        (Result.retry("smtp_450", ""), False),
        (Result.retry("whatsapp_190", ""), True),
        (Result.retry("whatsapp_131049", ""), False),
        (Result.refused("whatsapp_131026", ""), False),
        (Result.refused("http_403", ""), True),
        (Result.refused("http_404", ""), False),
        (Result.refused("address_invalid", ""), None),
        (Result.refused("template_failed", ""), None),
        (Result.retry("sender_unknown", ""), None),
    ],
)
def test_what_counts_is_what_the_provider_or_the_account_is_to_blame_for(result: Result, failed: bool | None) -> None:
    assert provider_failed(result) is failed
