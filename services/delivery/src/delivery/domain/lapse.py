"""What becomes of a claim whose lease is over: the send may or may not have happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from delivery.domain.books import RELEASED, UNKNOWN, Books
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
    in_doubt: bool = False
    """An earlier attempt of its step may have arrived."""

    @property
    def channel(self) -> str:
        """The channel of its lane."""
        return self.lane.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Lapse:
    """What becomes of one row: released, or its message is unknown."""

    row: Claimed
    released: bool

    @property
    def waits(self) -> bool:
        """It stays until the unknown message is decided; one whose enrollment has ended goes."""
        return not self.released and not self.row.halted

    @property
    def books(self) -> Books:
        """What that does to the books."""
        return RELEASED if self.released else UNKNOWN


def lapse(row: Claimed) -> Lapse:
    """Decide one row: claimable again where a repeat is harmless and the enrollment lives, else unknown.

    One that was tried too often is unknown too: it may be what ends its senders.
    """
    return Lapse(row, row.channel in IDEMPOTENT_CHANNELS and not row.halted and row.attempt < ATTEMPTS_MAX)
