"""What a resume lets expire, and what follows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from campaign.definition import Definition
from campaign.overdue import Mark
from campaign.plan import Finished, Planned, Position, plan

from delivery.domain.books import DOUBTED, EXPIRED, PLANNED, Books


@dataclass(frozen=True, slots=True)
class Overdue:
    """A row under a mark, locked, that nobody has claimed."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    entered_version: int
    version: int
    step_id: str
    channel: str
    attempt: int
    in_doubt: bool
    due_active: datetime
    due_at: datetime
    ended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expiry:
    """What becomes of one row: its message ends, and `next` follows (None: who has the version plans it).

    An earlier attempt may have arrived: such a message is not expired, it is unknown, and what follows waits for that.
    """

    row: Overdue
    reason: str
    base_active: datetime
    next: Planned | Finished | None

    @property
    def outcome(self) -> str:
        """As history calls it."""
        return "unknown" if self.row.in_doubt else "expired"

    @property
    def ends(self) -> bool:
        """Nothing is left to send."""
        return isinstance(self.next, Finished) and not self.row.in_doubt

    @property
    def books(self) -> Books:
        """The change of the books."""
        if self.row.in_doubt:
            return DOUBTED
        return EXPIRED if self.ends else EXPIRED + PLANNED


def expire(row: Overdue, mark: Mark, *, effective: Definition | None, definitions: Mapping[int, Definition]) -> Expiry:
    """End one message that a mark is over. What follows counts from right after the resume, so it is not under it."""
    base = mark.next_base
    if effective is None:
        return Expiry(row, mark.reason, base, None)
    position = Position(base, step_id=None, ended=(*row.ended, row.step_id))
    return Expiry(row, mark.reason, base, plan(position, effective, previous=definitions.get(row.version)))
