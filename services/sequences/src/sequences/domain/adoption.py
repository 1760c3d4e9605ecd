"""A sequence from what was said of it, where the database has lost it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from messaging import Cause
from sluice_contracts.base import Message as Contract
from sluice_contracts.sequences import PauseSequence, PublishSequence, ResumeSequence, SaveSequence, SequenceState

from sequences.domain.sequence import ResumeMode, ResumeTimer, Sequence, Status

NO_RESULT: Final = -1


def adopted(known: Sequence | None, state: SequenceState, *, cause: Cause) -> Sequence | None:
    """What a state that was said makes of a sequence; None where nothing newer is told by it.

    `cause` stands for what is not said: who set the time of a resume, who asked for a deletion.
    """
    if known is not None and (known.gone or known.state_version >= state.state_version):
        return None
    heard = Sequence(
        sequence_id=state.sequence_id,
        status=Status(state.status),
        state_version=state.state_version,
        epoch=state.epoch,
        revision=state.revision,
        updated_at=state.updated_at,
        draft=state.draft,
        version=state.version,
        published=state.published,
        in_flight=state.in_flight,
        follow_version=state.follow_version,
        reason=state.reason,
        paused_at=state.paused_at,
        resumed_at=state.resumed_at,
        resumed_with=_mode(state),
        clock_offset=timedelta(seconds=state.clock_offset_seconds),
        resume_timer=None if state.resume_at is None else ResumeTimer(state.resume_at, cause),
        deletion=cause if state.status == "deleted" else None,
    )
    return _with_receipts(heard, state, known if known is not None and known.epoch == state.epoch else None)


def _mode(state: SequenceState) -> ResumeMode | None:
    return None if state.overdue is None else ResumeMode(state.overdue, state.max_lateness, state.admit or "none")


def _with_receipts(heard: Sequence, state: SequenceState, known: Sequence | None) -> Sequence:
    """Both receipts where the state has them; of a stop that was known, one may be there alone."""
    if state.receipts is not None:
        return replace(
            heard,
            entry_closed_at=state.receipts.entry_closed_at,
            halted_at=state.receipts.halted_at,
            dropped=state.receipts.dropped,
            in_flight_sends=state.receipts.in_flight,
        )
    if known is None:
        return heard
    return replace(
        heard,
        entry_closed_at=known.entry_closed_at,
        halted_at=known.halted_at,
        dropped=known.dropped,
        in_flight_sends=known.in_flight_sends,
    )


def is_lost(sequence: Sequence | None, command: Contract, result: Mapping[str, Any]) -> bool:
    """Whether a command that was accepted with this result has no effect on what is known of its sequence.

    All that a command does is in the state that it led to, but for one thing: a resume that waits for receipts.
    """
    if sequence is None:
        return True
    if sequence.status is Status.DELETED:
        return False
    match command:
        case SaveSequence():
            return sequence.revision < int(result.get("revision", NO_RESULT))
        case PublishSequence():
            return (sequence.version or 0) < int(result.get("version", NO_RESULT))
        case ResumeSequence() if sequence.resume_asked is not None:
            return False
        case _:
            return sequence.epoch < int(result.get("epoch", NO_RESULT))


def cancels(sequence: Sequence | None, command: Contract) -> bool:
    """Whether this ends a resume that waits, where one does."""
    return isinstance(command, PauseSequence) and sequence is not None and sequence.status is Status.PAUSED
