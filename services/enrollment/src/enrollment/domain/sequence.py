"""A sequence as enrollment knows it, and when its entry closes."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from campaign.rules import Rules
from messaging import Decision
from sluice_contracts.enrollment import EntryClosed


class Status(StrEnum):
    """What entry depends on. `CLOSED` stands for whatever this version does not understand: nobody enters."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"
    CLOSED = "closed"


SHUT: Final = frozenset({Status.PAUSED, Status.DELETED})
"""States that owe a receipt for their epoch. A closed one may open again in the same epoch, so it gives none."""
NO_RULES: Final = Rules()


@dataclass(frozen=True, slots=True)
class Sequence:
    """The newest state heard of; `closed_epoch` is the last epoch whose receipt was given."""

    sequence_id: str
    state_version: int
    status: Status
    epoch: int
    version: int | None = None
    campaign: str | None = None
    closed_epoch: int | None = None
    follow_version: int | None = None
    """Who entered an older version is under this one; who entered a newer one keeps that."""
    paused_epoch: int | None = None
    """The pause in which contacts are turned away, until it is known to be over."""
    rules: Rules = NO_RULES
    """Those of `version`."""


@dataclass(frozen=True, slots=True)
class PauseOver:
    """A pause that has ended: who was turned away in it is asked again (`admit`), or forgotten."""

    sequence_id: str
    epoch: int
    admit: bool


def status_of(text: str | None) -> Status:
    """The status that a record names; one that is not understood is a closed one."""
    try:
        return Status(text or "")
    except ValueError:
        return Status.CLOSED


def hear(known: Sequence | None, news: Sequence, *, now: datetime) -> Decision[Sequence]:
    """Take over a newer state. A stop closes entry at `now` and says so, once per epoch; a deletion is for good."""
    if known is not None and (known.status is Status.DELETED or known.state_version >= news.state_version):
        return Decision()
    closed_epoch = known.closed_epoch if known is not None else None
    status = Status.CLOSED if news.status is Status.ACTIVE and news.version is None else news.status
    heard = replace(
        news, status=status, closed_epoch=closed_epoch, paused_epoch=_paused_epoch(known, status, news.epoch)
    )
    if status is Status.DELETED:
        heard = _emptied(heard)
    return _shut(heard, now=now) if status in SHUT else Decision(heard)


def fence(
    known: Sequence | None,
    sequence_id: str,
    *,
    state_version: int | None,
    status: str | None,
    epoch: int | None,
    now: datetime,
) -> Decision[Sequence]:
    """Close entry on a record that could not be understood as a whole, unless it is an old one.

    What it names as paused or deleted, in a readable epoch, is that, with its receipt; anything else is closed until a
    newer record says more. Without a `state_version` the known one stays, so that any newer record counts.
    """
    if known is not None and known.status is Status.DELETED:
        return Decision()
    if known is not None and state_version is not None and known.state_version >= state_version:
        return Decision()
    named = status_of(status)
    shut = named in SHUT and epoch is not None
    before = known if known is not None else Sequence(sequence_id, 0, Status.CLOSED, 0)
    fenced = replace(
        before,
        state_version=state_version if state_version is not None else before.state_version,
        status=named if shut else Status.CLOSED,
        epoch=epoch if epoch is not None else before.epoch,
    )
    fenced = replace(fenced, paused_epoch=_paused_epoch(known, fenced.status, fenced.epoch))
    if fenced.status is Status.DELETED:
        fenced = _emptied(fenced)
    return _shut(fenced, now=now) if shut else Decision(fenced)


def vanish(known: Sequence | None) -> Decision[Sequence]:
    """Take over a tombstone: what is not deleted yet is now. Nobody waits for a receipt of that."""
    if known is None or known.status is Status.DELETED:
        return Decision()
    return Decision(_emptied(replace(known, status=Status.DELETED, closed_epoch=max(known.epoch, _epoch(known)))))


def pause_over(known: Sequence | None, state: Sequence, *, admit: bool) -> PauseOver | None:
    """The pause that a newer state shows to be over; `admit`: the last resume asks those again who were refused.

    That is the resume of this pause only where no other one lies between: a resume has the epoch after its pause, the
    next pause the one after that.
    """
    if known is None or known.paused_epoch is None or state.status is Status.DELETED:
        return None
    if state.paused_epoch == known.paused_epoch:
        return None
    resumed = state.epoch - 1 if state.status is Status.PAUSED else state.epoch
    return PauseOver(known.sequence_id, known.paused_epoch, admit and resumed == known.paused_epoch + 1)


def _paused_epoch(known: Sequence | None, status: Status, epoch: int) -> int | None:
    """A state that is not understood tells nothing of a pause: it goes on, or has not begun."""
    if status is Status.CLOSED:
        return known.paused_epoch if known is not None else None
    return epoch if status is Status.PAUSED else None


def _emptied(sequence: Sequence) -> Sequence:
    """A deleted one keeps nothing of what it was."""
    return replace(sequence, version=None, campaign=None, follow_version=None, paused_epoch=None, rules=NO_RULES)


def _epoch(known: Sequence) -> int:
    return known.closed_epoch if known.closed_epoch is not None else -1


def _shut(sequence: Sequence, *, now: datetime) -> Decision[Sequence]:
    if sequence.closed_epoch is not None and sequence.closed_epoch >= sequence.epoch:
        return Decision(sequence)
    receipt = EntryClosed(sequence_id=sequence.sequence_id, epoch=sequence.epoch, closed_at=now)
    return Decision(replace(sequence, closed_epoch=sequence.epoch), (receipt,))
