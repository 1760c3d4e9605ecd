"""Pause, resume, delete, and the receipts that prove them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from messaging import Cause, Decision, Refused
from sluice_contracts.answers import Fault
from sluice_contracts.delivery import SequenceHalted
from sluice_contracts.enrollment import EntryClosed
from sluice_contracts.sequences import (
    PauseSequence,
    ResumeSequence,
    SequenceDeleted,
    SequencePaused,
    SequenceResumed,
    SequenceStopped,
)

from sequences.domain.sequence import (
    SHIFT,
    ResumeAsked,
    ResumeMode,
    ResumeTimer,
    Sequence,
    Status,
    TransitionRefused,
    changed,
    deleted,
    known,
    state_of,
)

_NO_OFFSET: Final = timedelta()
_UNBOUNDED: Final = Fault(place="max_lateness", rule="goes only with overdue: send_now")


def pause(sequence: Sequence | None, command: PauseSequence, *, cause: Cause, now: datetime) -> Decision[Sequence]:
    """Stop a running sequence, for good or until `resume_at`.

    Pausing what is paused keeps the epoch, cancels a resume that waits, and takes over reason and `resume_at`.
    """
    sequence = known(sequence)
    match sequence.status:
        case Status.ACTIVE:
            paused = _paused(sequence, command, cause=cause, now=now)
            return Decision(paused, (state_of(SequencePaused, paused),), result={"epoch": paused.epoch})
        case Status.PAUSED:
            return _paused_again(sequence, command, cause=cause, now=now)
        case Status.DRAFT:
            raise TransitionRefused("wrong_state", "a draft does not run: there is nothing to pause")
        case Status.DELETED:
            raise deleted()


def resume(sequence: Sequence | None, command: ResumeSequence, *, cause: Cause, now: datetime) -> Decision[Sequence]:
    """Let a paused sequence run again; where receipts of the pause are still out, once they are in.

    Of two that ask differently while it waits the later one counts; of two that ask the same, the first.
    """
    mode = _mode(command)
    sequence = known(sequence)
    match sequence.status:
        case Status.PAUSED if sequence.receipts is None:
            waits = sequence.resume_asked
            asked = waits if waits is not None and waits.mode == mode else ResumeAsked(cause, mode)
            return Decision(replace(sequence, resume_asked=asked), result={"epoch": sequence.epoch + 1})
        case Status.PAUSED:
            return _resumed(sequence, mode, now=now)
        case Status.ACTIVE:
            return Decision(result={"epoch": sequence.epoch})
        case Status.DRAFT:
            raise TransitionRefused("wrong_state", "a draft has never run: publish it")
        case Status.DELETED:
            raise deleted()


def complete_resume(sequence: Sequence, *, now: datetime) -> Decision[Sequence]:
    """Resume what waited for its receipts, if they are in."""
    match sequence.status:
        case Status.PAUSED if sequence.resume_asked is not None and sequence.receipts is not None:
            return _resumed(sequence, sequence.resume_asked.mode, now=now)
        case Status.DRAFT | Status.ACTIVE | Status.PAUSED | Status.DELETED:
            return Decision()


def resume_by_itself(sequence: Sequence, *, now: datetime) -> Decision[Sequence]:
    """Resume what is paused until a time that has come, once it has stopped; what was to wait is still to wait."""
    match sequence.status:
        case Status.PAUSED if sequence.resume_timer is not None and sequence.receipts is not None:
            return _resumed(sequence, SHIFT, now=now) if sequence.resume_timer.at <= now else Decision()
        case Status.DRAFT | Status.ACTIVE | Status.PAUSED | Status.DELETED:
            return Decision()


def delete(sequence: Sequence | None, *, cause: Cause, now: datetime) -> Decision[Sequence]:
    """Fence it for good and forget its draft; the erasure follows the receipts. Deleting twice changes nothing."""
    sequence = known(sequence)
    match sequence.status:
        case Status.DRAFT | Status.ACTIVE | Status.PAUSED:
            fenced = replace(
                _next_epoch(changed(sequence, now=now)),
                status=Status.DELETED,
                draft=None,
                published=None,
                reason=None,
                deletion=cause,
            )
            return Decision(fenced, (state_of(SequenceDeleted, fenced),), result={"epoch": fenced.epoch})
        case Status.DELETED:
            return Decision(result={"epoch": sequence.epoch})


def entry_closed(sequence: Sequence | None, receipt: EntryClosed, *, now: datetime) -> Decision[Sequence]:
    """Take enrollment's receipt; the first of an epoch counts, those of other epochs do not."""
    if sequence is None or sequence.epoch != receipt.epoch or sequence.entry_closed_at is not None:
        return Decision()
    return _received(replace(sequence, entry_closed_at=receipt.closed_at), now=now)


def sequence_halted(sequence: Sequence | None, receipt: SequenceHalted, *, now: datetime) -> Decision[Sequence]:
    """Take delivery's receipt; the first of an epoch counts, those of other epochs do not."""
    if sequence is None or sequence.epoch != receipt.epoch or sequence.halted_at is not None:
        return Decision()
    received = replace(
        sequence, halted_at=receipt.halted_at, dropped=receipt.dropped, in_flight_sends=receipt.in_flight
    )
    return _received(received, now=now)


def _received(sequence: Sequence, *, now: datetime) -> Decision[Sequence]:
    """Keep a receipt; the last one of a pause says that it holds everywhere (a deletion's opens the erasure)."""
    match sequence.status:
        case Status.PAUSED if sequence.receipts is not None:
            stopped = changed(sequence, now=now)
            return Decision(stopped, (state_of(SequenceStopped, stopped),))
        case Status.DELETED if sequence.gone:
            return Decision()
        case Status.PAUSED | Status.DELETED:
            return Decision(sequence)
        case Status.DRAFT | Status.ACTIVE:
            return Decision()


def _mode(command: ResumeSequence) -> ResumeMode:
    if command.max_lateness is not None and command.overdue != "send_now":
        raise Refused("invalid", "max_lateness bounds what send_now sends", [_UNBOUNDED])
    return ResumeMode(command.overdue or "shift", command.max_lateness, command.admit or "none")


def _paused(sequence: Sequence, command: PauseSequence, *, cause: Cause, now: datetime) -> Sequence:
    # The database's clock may be set back; the active clock must not run backwards for it.
    paused_at = now if sequence.resumed_at is None else max(now, sequence.resumed_at)
    return replace(
        _next_epoch(changed(sequence, now=now)),
        status=Status.PAUSED,
        reason=command.reason,
        resume_timer=_timer(command, cause),
        paused_at=paused_at,
        resumed_at=None,  # the two stand together only where they are of one pause
        resumed_with=None,
    )


def _paused_again(sequence: Sequence, command: PauseSequence, *, cause: Cause, now: datetime) -> Decision[Sequence]:
    result = {"epoch": sequence.epoch}
    waiting = replace(sequence, resume_asked=None)
    timer = sequence.resume_timer
    if command.resume_at != (None if timer is None else timer.at):
        timer = _timer(command, cause)
    again = replace(changed(waiting, now=now), reason=command.reason, resume_timer=timer)
    if sequence.receipts is not None:
        return Decision(again, (state_of(SequenceStopped, again),), result)
    if (sequence.reason, sequence.resume_timer) != (again.reason, again.resume_timer):
        return Decision(again, (state_of(SequencePaused, again),), result)
    return Decision(waiting, result=result)


def _timer(command: PauseSequence, cause: Cause) -> ResumeTimer | None:
    return None if command.resume_at is None else ResumeTimer(command.resume_at, cause)


def _resumed(sequence: Sequence, mode: ResumeMode, *, now: datetime) -> Decision[Sequence]:
    assert sequence.paused_at is not None
    resumed_at = max(now, sequence.paused_at)
    shifted = resumed_at - sequence.paused_at if mode.overdue == "shift" else _NO_OFFSET
    running = replace(
        _next_epoch(changed(sequence, now=now)),
        status=Status.ACTIVE,
        reason=None,
        resumed_at=resumed_at,
        resumed_with=mode,
        clock_offset=sequence.clock_offset + shifted,
    )
    return Decision(running, (state_of(SequenceResumed, running),), {"epoch": running.epoch})


def _next_epoch(sequence: Sequence) -> Sequence:
    """A new epoch: no receipt of it is in, and no resume waits for one, or for its time."""
    return replace(
        sequence,
        epoch=sequence.epoch + 1,
        entry_closed_at=None,
        halted_at=None,
        dropped=None,
        in_flight_sends=None,
        resume_asked=None,
        resume_timer=None,
    )
