"""Pause, resume, delete: what is said, when, and what the receipts of which epoch change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from messaging import Cause, Decision, Refused
from sequences.domain.lifecycle import complete_resume, delete, entry_closed, pause, resume, sequence_halted
from sequences.domain.sequence import ResumeAsked, ResumeMode, Sequence, Status
from sluice_contracts.delivery import SequenceHalted
from sluice_contracts.enrollment import EntryClosed
from sluice_contracts.sequences import (
    PauseSequence,
    ResumeSequence,
    SequenceDeleted,
    SequencePaused,
    SequenceResumed,
    SequenceState,
    SequenceStopped,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAUSED = Cause(source="tests", id="pause-1", actor="ann")
ASKED = Cause(source="tests", id="resume-1", actor="ann")
DELETED = Cause(source="tests", id="delete-1", actor="ann")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def sequence(status: Status, **changes: Any) -> Sequence:
    start = Sequence(
        sequence_id="welcome",
        status=status,
        state_version=10,
        epoch=4,
        revision=3,
        updated_at=NOON,
        draft={"name": "New"},
        version=None if status is Status.DRAFT else 2,
        published=None if status is Status.DRAFT else {"name": "Old"},
        paused_at=NOON if status is Status.PAUSED else None,
        deletion=DELETED if status is Status.DELETED else None,
    )
    return replace(start, **changes)


def a_stopped(**changes: Any) -> Sequence:
    receipts = {"entry_closed_at": after(1), "halted_at": after(2), "dropped": 7, "in_flight_sends": 1}
    return sequence(Status.PAUSED, **{**receipts, **changes})


def pausing(current: Sequence | None, *, reason: str | None = None, now: datetime = NOON) -> Decision[Sequence]:
    return pause(current, PauseSequence(sequence_id="welcome", reason=reason), cause=PAUSED, now=now)


def resuming(current: Sequence | None, *, now: datetime, cause: Cause = ASKED, **mode: Any) -> Decision[Sequence]:
    return resume(current, ResumeSequence(sequence_id="welcome", **mode), cause=cause, now=now)


def closing(current: Sequence | None, *, epoch: int) -> Decision[Sequence]:
    return entry_closed(current, EntryClosed(sequence_id="welcome", epoch=epoch, closed_at=after(1)), now=after(3))


def halting(current: Sequence | None, *, epoch: int) -> Decision[Sequence]:
    receipt = SequenceHalted(sequence_id="welcome", epoch=epoch, dropped=7, in_flight=1, halted_at=after(2))
    return sequence_halted(current, receipt, now=after(3))


def state(decision: Decision[Sequence]) -> Sequence:
    assert decision.state is not None
    return decision.state


def said(decision: Decision[Sequence]) -> list[type]:
    return [type(message) for message in decision.messages]


def only(decision: Decision[Sequence]) -> SequenceState:
    (message,) = decision.messages
    assert isinstance(message, SequenceState)
    return message


def test_pausing_opens_an_epoch_and_stops_the_active_clock() -> None:
    decision = pausing(sequence(Status.ACTIVE, resumed_at=after(-60), paused_at=after(-120)), reason="typo")

    assert decision.result == {"epoch": 5}
    message = only(decision)
    assert isinstance(message, SequencePaused)
    assert (message.state_version, message.epoch, message.status, message.reason) == (11, 5, "paused", "typo")
    assert (message.paused_at, message.resumed_at, message.receipts) == (NOON, None, None)
    assert (message.draft, message.published) == ({"name": "New"}, {"name": "Old"})


def test_pausing_twice_announces_it_once() -> None:
    first = pausing(sequence(Status.ACTIVE))
    again = pausing(state(first), now=after(5))

    assert said(first) == [SequencePaused]
    assert again == Decision(state(first), result={"epoch": 5})


def test_pausing_again_takes_over_the_reason_and_keeps_the_epoch() -> None:
    first = state(pausing(sequence(Status.ACTIVE), reason="typo"))

    again = pausing(first, reason="legal", now=after(5))

    message = only(again)
    assert isinstance(message, SequencePaused)
    assert (message.epoch, message.reason, message.paused_at) == (5, "legal", NOON)
    assert message.state_version == first.state_version + 1


def test_pausing_what_has_stopped_repeats_that_it_has() -> None:
    again = pausing(a_stopped(reason="typo"), now=after(60))

    message = only(again)
    assert isinstance(message, SequenceStopped)
    assert (message.epoch, message.reason, message.state_version) == (4, None, 11)
    assert message.receipts.dropped == 7


def test_a_stop_is_said_once_both_receipts_are_in() -> None:
    paused = state(pausing(sequence(Status.ACTIVE)))

    first = halting(paused, epoch=5)
    second = closing(state(first), epoch=5)

    assert said(first) == []
    message = only(second)
    assert isinstance(message, SequenceStopped)
    assert (message.receipts.entry_closed_at, message.receipts.halted_at) == (after(1), after(2))
    assert (message.receipts.dropped, message.receipts.in_flight) == (7, 1)


@pytest.mark.parametrize("epoch", [3, 5])
def test_receipts_of_another_epoch_change_nothing(epoch: int) -> None:
    paused = sequence(Status.PAUSED)

    assert closing(paused, epoch=epoch) == halting(paused, epoch=epoch) == Decision()


def test_the_first_receipt_of_an_epoch_counts() -> None:
    assert closing(a_stopped(), epoch=4) == halting(a_stopped(), epoch=4) == Decision()


@pytest.mark.parametrize("current", [None, sequence(Status.DRAFT), sequence(Status.ACTIVE)])
def test_receipts_of_what_is_not_stopped_change_nothing(current: Sequence | None) -> None:
    assert closing(current, epoch=4) == halting(current, epoch=4) == Decision()


def test_resuming_moves_the_active_clock_on_by_the_pause() -> None:
    stopped = a_stopped(clock_offset=timedelta(seconds=30), reason="typo")

    decision = resuming(stopped, now=after(90.000001))

    assert decision.result == {"epoch": 5}
    message = only(decision)
    assert isinstance(message, SequenceResumed)
    assert (message.status, message.epoch, message.reason, message.receipts) == ("active", 5, None, None)
    assert (message.paused_at, message.resumed_at) == (NOON, after(90.000001))
    assert message.clock_offset_seconds == 120.000001
    assert (message.overdue, message.max_lateness, message.admit) == ("shift", None, "none")


@pytest.mark.parametrize("mode", [{"overdue": "skip"}, {"overdue": "send_now"}])
def test_what_is_not_shifted_leaves_the_active_clock_where_it_was(mode: dict[str, Any]) -> None:
    decision = resuming(a_stopped(clock_offset=timedelta(seconds=30)), now=after(90), **mode)

    message = only(decision)
    assert (message.clock_offset_seconds, message.resumed_at) == (30, after(90))
    assert message.overdue == mode["overdue"]


def test_a_resume_tells_its_bound_and_whom_it_lets_in() -> None:
    decision = resuming(a_stopped(), now=after(90), overdue="send_now", max_lateness="2h", admit="qualifying")

    message = only(decision)
    assert (message.overdue, message.max_lateness, message.admit) == ("send_now", "2h", "qualifying")


def test_the_next_pause_forgets_how_the_last_one_ended() -> None:
    running = state(resuming(a_stopped(), now=after(90), overdue="skip", admit="qualifying"))

    message = only(pausing(running, now=after(100)))

    assert (message.overdue, message.admit) == (None, None)


@pytest.mark.parametrize("overdue", [None, "shift", "skip"])
@pytest.mark.parametrize("current", [None, sequence(Status.ACTIVE), a_stopped()])
def test_a_bound_is_refused_where_nothing_is_sent_late(current: Sequence | None, overdue: str | None) -> None:
    with pytest.raises(Refused) as refused:
        resuming(current, now=after(90), overdue=overdue, max_lateness="2h")

    assert refused.value.code == "invalid"
    assert [fault.place for fault in refused.value.faults] == ["max_lateness"]


def test_a_resume_waits_for_the_receipts_of_the_pause() -> None:
    accepted = resuming(sequence(Status.PAUSED), now=after(1))
    stopped = closing(state(halting(state(accepted), epoch=4)), epoch=4)
    resumed = complete_resume(state(stopped), now=after(9))

    assert accepted.result == {"epoch": 5}
    assert said(accepted) == []
    assert said(stopped) == [SequenceStopped]
    message = only(resumed)
    assert isinstance(message, SequenceResumed)
    assert (message.epoch, message.state_version) == (5, 12)
    assert state(resumed).resume_asked is None


def test_a_resume_that_waits_keeps_how_it_is_to_resume() -> None:
    accepted = resuming(sequence(Status.PAUSED), now=after(1), overdue="send_now", max_lateness="2h")
    stopped = closing(state(halting(state(accepted), epoch=4)), epoch=4)

    message = only(complete_resume(state(stopped), now=after(9)))

    assert (message.overdue, message.max_lateness, message.clock_offset_seconds) == ("send_now", "2h", 0)


OTHER = Cause(source="tests", id="resume-2")


@pytest.mark.parametrize(
    ("overdue", "kept"),
    [("shift", ResumeAsked(ASKED)), ("skip", ResumeAsked(OTHER, ResumeMode("skip")))],
    ids=["the same: the first", "another: the last"],
)
def test_of_two_resumes_that_wait_it_counts(overdue: str, kept: ResumeAsked) -> None:
    waiting = state(resuming(sequence(Status.PAUSED), now=after(1)))

    again = resuming(waiting, cause=OTHER, now=after(2), overdue=overdue)

    assert again.result == {"epoch": 5}
    assert state(again).resume_asked == kept


def test_a_pause_cancels_a_resume_that_waits_and_keeps_the_epoch() -> None:
    waiting = state(resuming(sequence(Status.PAUSED, reason="typo"), now=after(1)))

    again = pausing(waiting, reason="typo", now=after(2))
    stopped = closing(state(halting(state(again), epoch=4)), epoch=4)

    assert again.result == {"epoch": 4}
    assert said(stopped) == [SequenceStopped]
    assert complete_resume(state(stopped), now=after(3)) == Decision()


def test_a_delete_cancels_a_resume_that_waits_with_an_epoch_of_its_own() -> None:
    waiting = state(resuming(sequence(Status.PAUSED), now=after(1)))

    decision = delete(waiting, cause=DELETED, now=after(2))

    assert decision.result == {"epoch": 5}
    assert state(decision).resume_asked is None
    assert closing(state(decision), epoch=4) == Decision()


def test_resuming_what_runs_changes_nothing() -> None:
    active = sequence(Status.ACTIVE)

    assert resuming(active, now=NOON) == resuming(active, now=NOON, overdue="skip") == Decision(result={"epoch": 4})


@pytest.mark.parametrize("status", [Status.DRAFT, Status.ACTIVE, Status.PAUSED])
def test_deleting_fences_and_says_no_definition(status: Status) -> None:
    decision = delete(sequence(status, reason="typo"), cause=DELETED, now=after(1))

    assert decision.result == {"epoch": 5}
    message = only(decision)
    assert isinstance(message, SequenceDeleted)
    assert (message.status, message.epoch, message.reason) == ("deleted", 5, None)
    assert b'"name"' not in message.to_json()
    assert state(decision).draft is None


def test_deleting_twice_changes_nothing() -> None:
    assert delete(sequence(Status.DELETED), cause=DELETED, now=NOON) == Decision(result={"epoch": 4})


def test_the_receipts_of_a_deletion_are_kept_without_an_event() -> None:
    fenced = closing(state(halting(sequence(Status.DELETED), epoch=4)), epoch=4)

    assert said(fenced) == []
    assert state(fenced).receipts is not None


def test_what_is_gone_takes_no_receipt() -> None:
    gone = sequence(Status.DELETED, gone=True)

    assert closing(gone, epoch=4) == halting(gone, epoch=4) == Decision()


@pytest.mark.parametrize(
    ("status", "code"),
    [(None, "not_found"), (Status.DRAFT, "wrong_state"), (Status.DELETED, "deleted")],
)
def test_pausing_or_resuming_what_does_not_run_is_refused(status: Status | None, code: str) -> None:
    current = None if status is None else sequence(status)

    with pytest.raises(Refused) as paused:
        pausing(current)
    with pytest.raises(Refused) as resumed:
        resuming(current, now=NOON)

    assert (paused.value.code, resumed.value.code) == (code, code)


def test_deleting_what_never_was_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        delete(None, cause=DELETED, now=NOON)

    assert refused.value.code == "not_found"


def test_a_database_clock_that_is_set_back_does_not_turn_the_active_clock_back() -> None:
    resumed = state(resuming(a_stopped(), now=after(-3_600)))
    paused = state(pausing(resumed, now=after(-7_200)))

    assert (resumed.resumed_at, resumed.clock_offset) == (NOON, timedelta())
    assert paused.paused_at == NOON
