"""A pause that ends by itself: once, when its time has come and the receipts are in, and nobody was faster."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from messaging import Cause, Decision
from sequences.domain.lifecycle import delete, pause, resume, resume_by_itself
from sequences.domain.sequence import ResumeTimer, Sequence, Status
from sluice_contracts.sequences import (
    PauseSequence,
    ResumeSequence,
    SequencePaused,
    SequenceResumed,
    SequenceState,
    SequenceStopped,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN = Cause(source="tests", id="pause-1", actor="ann")
BOB = Cause(source="tests", id="pause-2", actor="bob")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


AT = after(60)


def an_active(**changes: Any) -> Sequence:
    start = Sequence(
        sequence_id="welcome",
        status=Status.ACTIVE,
        state_version=10,
        epoch=4,
        revision=3,
        updated_at=NOON,
        version=2,
        published={"name": "Old"},
    )
    return replace(start, **changes)


def a_paused(**changes: Any) -> Sequence:
    fields = {"status": Status.PAUSED, "paused_at": NOON, "resume_timer": ResumeTimer(AT, ANN), **changes}
    return an_active(**fields)


def a_stopped(**changes: Any) -> Sequence:
    receipts = {"entry_closed_at": after(1), "halted_at": after(2), "dropped": 7, "in_flight_sends": 1}
    return a_paused(**{**receipts, **changes})


def pausing(current: Sequence, *, resume_at: datetime | None, cause: Cause = ANN, **fields: Any) -> Decision[Sequence]:
    command = PauseSequence(sequence_id="welcome", resume_at=resume_at, **fields)
    return pause(current, command, cause=cause, now=after(5))


def state(decision: Decision[Sequence]) -> Sequence:
    assert decision.state is not None
    return decision.state


def only(decision: Decision[Sequence]) -> SequenceState:
    (message,) = decision.messages
    assert isinstance(message, SequenceState)
    return message


def test_a_pause_says_when_it_ends() -> None:
    decision = pausing(an_active(), resume_at=AT)

    assert only(decision).resume_at == AT
    assert state(decision).resume_timer == ResumeTimer(AT, ANN)


def test_nothing_happens_before_its_time() -> None:
    assert resume_by_itself(a_stopped(), now=after(59.999999)) == Decision()


def test_at_its_time_what_was_to_wait_is_still_to_wait() -> None:
    decision = resume_by_itself(a_stopped(), now=AT)

    message = only(decision)
    assert isinstance(message, SequenceResumed)
    assert (message.epoch, message.overdue, message.admit, message.resume_at) == (5, "shift", "none", None)
    assert message.clock_offset_seconds == 60


def test_it_waits_for_the_receipts_also_where_its_time_has_come() -> None:
    assert resume_by_itself(a_paused(), now=after(120)) == Decision()


def test_a_time_that_is_over_resumes_once_the_receipts_are_in() -> None:
    decision = resume_by_itself(a_stopped(resume_timer=ResumeTimer(after(-60), ANN)), now=after(3))

    assert only(decision).resumed_at == after(3)


def test_it_resumes_once() -> None:
    running = state(resume_by_itself(a_stopped(), now=AT))

    assert resume_by_itself(running, now=after(120)) == Decision()


def test_who_resumes_before_takes_the_time_away_and_has_the_say() -> None:
    command = ResumeSequence(sequence_id="welcome", overdue="skip")

    running = resume(a_stopped(), command, cause=BOB, now=after(30))
    paused = pausing(state(running), resume_at=None)

    assert (only(running).overdue, only(running).resume_at) == ("skip", None)
    assert state(paused).resume_timer is None


def test_who_deletes_takes_the_time_away() -> None:
    fenced = delete(a_stopped(), cause=BOB, now=after(30))

    assert only(fenced).resume_at is None
    assert resume_by_itself(state(fenced), now=AT) == Decision()


@pytest.mark.parametrize("resume_at", [None, after(90)])
@pytest.mark.parametrize(("current", "event"), [(a_paused(), SequencePaused), (a_stopped(), SequenceStopped)])
def test_pausing_again_takes_over_the_time(current: Sequence, event: type, resume_at: datetime | None) -> None:
    again = pausing(current, resume_at=resume_at, cause=BOB)

    message = only(again)
    assert isinstance(message, event)
    assert (message.epoch, message.resume_at) == (4, resume_at)
    assert state(again).resume_timer == (None if resume_at is None else ResumeTimer(resume_at, BOB))


def test_pausing_again_with_the_same_time_keeps_who_asked_for_it() -> None:
    again = pausing(a_paused(), resume_at=AT, cause=BOB)

    assert again == Decision(a_paused(), result={"epoch": 4})
