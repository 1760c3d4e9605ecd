"""A sequence as enrollment knows it, and when its entry closes."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

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
    heard = replace(news, status=status, closed_epoch=closed_epoch)
    if status is Status.DELETED:
        heard = replace(heard, version=None, campaign=None)
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
    fenced = Sequence(
        sequence_id=sequence_id,
        state_version=state_version if state_version is not None else known.state_version if known is not None else 0,
        status=named if shut else Status.CLOSED,
        epoch=epoch if epoch is not None else known.epoch if known is not None else 0,
        closed_epoch=known.closed_epoch if known is not None else None,
    )
    if fenced.status is not Status.DELETED and known is not None:
        fenced = replace(fenced, version=known.version, campaign=known.campaign)
    return _shut(fenced, now=now) if shut else Decision(fenced)


def vanish(known: Sequence | None) -> Decision[Sequence]:
    """Take over a tombstone: what is not deleted yet is now. Nobody waits for a receipt of that."""
    if known is None or known.status is Status.DELETED:
        return Decision()
    return Decision(
        replace(known, status=Status.DELETED, version=None, campaign=None, closed_epoch=max(known.epoch, _epoch(known)))
    )


def _epoch(known: Sequence) -> int:
    return known.closed_epoch if known.closed_epoch is not None else -1


def _shut(sequence: Sequence, *, now: datetime) -> Decision[Sequence]:
    if sequence.closed_epoch is not None and sequence.closed_epoch >= sequence.epoch:
        return Decision(sequence)
    receipt = EntryClosed(sequence_id=sequence.sequence_id, epoch=sequence.epoch, closed_at=now)
    return Decision(replace(sequence, closed_epoch=sequence.epoch), (receipt,))
