"""Who enters, decided purely."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from campaign.conditions import Condition, Facts, StopWhen
from campaign.rules import Rules
from enrollment.domain import answer
from enrollment.domain.contact import Contact, forget
from enrollment.domain.entry import Against, Ask, Been, Entered, Missing, Refusal, Verdict, admit_all, not_in
from enrollment.domain.patience import Patience
from enrollment.domain.sequence import Sequence, Status
from hypothesis import given
from hypothesis import strategies as st
from messaging import Refused

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTIVE = Sequence("s", 1, Status.ACTIVE, 0, version=1)


def known(contact_id: str, **state: object) -> Contact:
    return Contact(contact_id, state_version=1, source_partition=0, source_offset=7, **state)  # type: ignore[arg-type]


def ask(contact_id: str = "c", sequence_id: str = "s", *, key: str = "", parked_at: datetime | None = None) -> Ask:
    return Ask(sequence_id, contact_id, f"{sequence_id}/{contact_id}", key or contact_id, 0, parked_at)


def one(sequence: Sequence | None, contact: Contact, against: Against | None = None) -> Verdict:
    sequences = {} if sequence is None else {"s": sequence}
    (verdict,) = admit_all([ask()], sequences, {"c": contact}, against or Against())
    return verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (Status.ACTIVE, Entered(1, 7)),
        (Status.DRAFT, Missing.SEQUENCE),
        (Status.PAUSED, Refusal("sequence_paused")),
        (Status.CLOSED, Refusal("sequence_not_active")),
        (Status.DELETED, Refusal("deleted")),
    ],
)
def test_every_status_of_a_sequence_has_its_verdict(status: Status, verdict: Verdict) -> None:
    assert one(Sequence("s", 1, status, 0, version=1), known("c")) == verdict


def test_what_is_missing_is_named_the_sequence_first() -> None:
    assert one(None, Contact("c")) is Missing.SEQUENCE
    assert one(ACTIVE, Contact("c")) is Missing.CONTACT


def test_a_certain_refusal_does_not_wait_for_what_is_missing() -> None:
    assert one(None, Contact("c"), Against(blocked={("sequence:s", "c")})) == Refusal("removed")
    assert one(None, Contact("c", opted_out_kept=True)) == Refusal("opted_out")


def test_a_block_on_a_campaign_keeps_out_of_its_sequences_alone() -> None:
    against = Against(blocked={("campaign:spring", "c")})

    assert one(Sequence("s", 1, Status.ACTIVE, 0, 1, campaign="spring"), known("c"), against) == Refusal("removed")
    assert isinstance(one(Sequence("s", 1, Status.ACTIVE, 0, 1, campaign="autumn"), known("c"), against), Entered)


def test_who_waits_behind_somebody_waits_on() -> None:
    assert one(ACTIVE, known("c"), Against(behind={("c", "c")})) is Missing.BEHIND


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("st"), st.sampled_from(["k1", "k2"])), max_size=20),
    st.sets(st.sampled_from("abc")),
    st.sets(st.sampled_from("st")),
)
def test_nobody_enters_twice_and_nobody_overtakes_within_a_key(
    wanted: list[tuple[str, str, str]], heard: set[str], active: set[str]
) -> None:
    asks = [ask(contact_id, sequence_id, key=key) for contact_id, sequence_id, key in wanted]
    sequences = {one: Sequence(one, 1, Status.ACTIVE, 0, 1) for one in active}
    contacts = {one: known(one) if one in heard else Contact(one) for one in "abc"}

    verdicts = admit_all(asks, sequences, contacts, Against())

    entered = [
        (one.sequence_id, one.contact_id)
        for one, verdict in zip(asks, verdicts, strict=True)
        if isinstance(verdict, Entered)
    ]
    assert len(entered) == len(set(entered))
    assert {contact_id for _, contact_id in entered} <= heard
    assert {sequence_id for sequence_id, _ in entered} <= active
    waiting: set[tuple[str, str]] = set()
    for asked, verdict in zip(asks, verdicts, strict=True):
        own = (asked.key, asked.contact_id)
        assert (verdict is Missing.BEHIND) == (own in waiting)
        if isinstance(verdict, Missing):
            waiting.add(own)


@given(
    st.lists(st.sampled_from([Entered(1, 1), Refusal("removed"), Refusal("opted_out"), Missing.CONTACT]), max_size=30)
)
def test_an_import_counts_the_same_however_late_its_contacts_are_decided(verdicts: list[Verdict]) -> None:
    final: list[Verdict] = [Entered(1, 1) if isinstance(found, Missing) else found for found in verdicts]
    waited = [found for found in verdicts if isinstance(found, Missing)]

    counted = answer.tally(verdicts)
    for _ in waited:
        assert answer.of_import(counted).deferred
        counted = answer.add(counted, [Entered(1, 1)])

    assert answer.of_import(counted) == answer.of_import(answer.tally(final))
    assert not answer.of_import(counted).deferred


def test_a_single_enroll_is_answered_by_its_verdict() -> None:
    assert answer.of_enroll(Entered(1, 1), enrollment_id="e").result == {"enrollment_id": "e"}
    assert answer.of_enroll(Missing.CONTACT, enrollment_id="e").deferred
    with pytest.raises(Refused) as refused:
        answer.of_enroll(Refusal("removed"), enrollment_id="e")
    assert refused.value.code == "removed"


def test_only_who_was_parked_up_to_the_horizon_gives_up() -> None:
    asks = [ask("a", parked_at=NOON), ask("b", parked_at=NOON + timedelta(seconds=1))]
    contacts = {"a": Contact("a"), "b": Contact("b")}

    verdicts = admit_all(asks, {"s": ACTIVE}, contacts, Against(), horizons={Missing.CONTACT: NOON})

    assert verdicts == [Refusal("contact_unknown"), Missing.CONTACT]


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 10))
def test_nobody_gives_up_before_a_full_wait_between_two_moments_of_being_caught_up(
    steps: list[int], seconds_max: int
) -> None:
    patience, moment, moments = Patience(float(seconds_max)), NOON, []
    for step in steps:
        moment += timedelta(seconds=step)
        moments.append(moment)
        patience = patience.observe(moment)

        horizon = patience.horizon
        assert len(patience.caught_up) <= seconds_max + 2
        if horizon is not None:
            assert horizon in moments
            assert horizon + timedelta(seconds=seconds_max) <= moment


def test_being_caught_up_all_the_time_refuses_soon_after_the_wait() -> None:
    patience = Patience(10.0)
    for tenth in range(200):
        patience = patience.observe(NOON + timedelta(seconds=tenth / 10))

    assert patience.horizon is not None
    assert patience.horizon >= NOON + timedelta(seconds=8)
    assert patience.observe(None) == patience


def test_of_a_contact_that_is_gone_an_opt_out_stays() -> None:
    gone = forget(known("c", opted_out=True), partition=0, offset=9).state

    assert gone == Contact("c", opted_out_kept=True, gone_partition=0, gone_offset=9)
    assert forget(gone, partition=0, offset=9).state is None


def test_a_record_behind_the_tombstone_is_a_new_contact() -> None:
    newer = known("c")

    kept = forget(newer, partition=0, offset=3).state

    assert kept is not None
    assert (kept.state_version, kept.gone_offset) == (1, 3)


ANY = st.sampled_from(["enroll", "end", "once", "again"])


@given(st.lists(st.tuples(st.booleans(), ANY), max_size=20), st.booleans())
def test_there_are_never_two_live_ones_whatever_an_edit_says_of_entering_once(
    moves: list[tuple[bool, str]], holds: bool
) -> None:
    """Against the rule itself: a log of entries, the last of which counts."""
    stop_when = StopWhen(success=(Condition("stage", "exists"),))
    facts = {"c": Facts({"stage": "Won"} if holds else {})}
    sequence, been = ACTIVE, cast("Been | None", None)
    for twice, move in moves:
        if move in {"once", "again"}:
            sequence = replace(ACTIVE, rules=Rules(stop_when=stop_when, enroll_once=move == "once"))
        elif move == "end":
            been = been and Been.PAST
        else:
            against = Against(been={("s", "c"): been} if been else {})
            verdicts = admit_all([ask()] * (1 + twice), {"s": sequence}, {"c": known("c")}, against, facts=facts)
            for verdict in verdicts:
                once = sequence.rules.enroll_once
                if isinstance(verdict, Entered):
                    assert been is None or (been is Been.PAST and not once)
                    assert verdict.again is (been is Been.PAST)
                    been = Been.LIVE if verdict.stopped is None else Been.PAST
                else:
                    assert verdict == Refusal("already_enrolled")
                    assert been is Been.LIVE or (been is Been.PAST and once)


def test_who_is_in_is_passed_over_where_nobody_asked() -> None:
    again = replace(ACTIVE, rules=Rules(enroll_once=False))

    def passed(been: Been | None, sequence: Sequence) -> bool:
        return not not_in([ask()], {"s": sequence}, Against(been={("s", "c"): been} if been else {}))

    assert [passed(None, ACTIVE), passed(Been.PAST, ACTIVE), passed(Been.LIVE, ACTIVE)] == [False, True, True]
    assert [passed(Been.PAST, again), passed(Been.LIVE, again)] == [False, True]
