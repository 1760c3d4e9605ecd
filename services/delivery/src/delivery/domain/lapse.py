"""What becomes of a claim whose lease is over: the send may or may not have happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from campaign.definition import Definition
from campaign.plan import Finished, Planned, Position, plan

from delivery.domain.books import PLANNED, RELEASED, UNKNOWN, Books
from delivery.domain.message import ATTEMPTS_MAX

IDEMPOTENT_CHANNELS: Final = frozenset({"webhook"})
"""Receivers there honour an idempotency key: the same message may be sent again under the same id."""
LEASE_OVER: Final = "lease_expired"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that still bears the token of the claim."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    version: int
    step_id: str
    lane: str
    due_active: datetime
    attempt: int
    ended: Sequence[str]
    halted: bool

    @property
    def channel(self) -> str:
        """The channel of its lane."""
        return self.lane.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Lapse:
    """What becomes of one row: released, or its message is unknown and `next` follows (None: nothing does)."""

    row: Claimed
    released: bool
    next: Planned | Finished | None
    books: Books
    base_active: datetime | None = None


def lapse(
    row: Claimed, *, active_now: datetime, newest: Definition | None, definitions: Mapping[int, Definition]
) -> Lapse:
    """Decide one row: claimable again where a repeat is harmless and the enrollment lives, else unknown.

    One that was tried too often is unknown too: it may be what ends its senders. An unknown message counts as sent
    (`assume_sent`), so the next step follows, counted from now.
    """
    if row.channel in IDEMPOTENT_CHANNELS and not row.halted and row.attempt < ATTEMPTS_MAX:
        return Lapse(row, released=True, next=None, books=RELEASED)
    if row.halted or newest is None:
        return Lapse(row, released=False, next=None, books=UNKNOWN)
    position = Position(active_now, step_id=None, ended=(*row.ended, row.step_id))
    following = plan(position, newest, previous=definitions.get(row.version))
    books = UNKNOWN + PLANNED if isinstance(following, Planned) else UNKNOWN
    return Lapse(row, released=False, next=following, books=books, base_active=active_now)
