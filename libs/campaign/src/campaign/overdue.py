"""What a resume does with what became due while a sequence was paused."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

Overdue = Literal["shift", "send_now", "skip"]
ExpiryReason = Literal["skip", "max_lateness"]

TICK: Final = timedelta(microseconds=1)
"""The smallest step of a clock: what follows an expired message is planned this much later, so a `0s` step is kept."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of a resume: what was planned before it and due until then is not sent any more."""

    until: datetime
    base: datetime
    """The resume, on the active clock: from a tick after it the next delay counts."""
    reason: ExpiryReason

    def covers(self, due_active: datetime) -> bool:
        """Whether a message that was planned before the resume expires."""
        return due_active <= self.until

    @property
    def next_base(self) -> datetime:
        """What the delay behind an expired message counts from."""
        return self.base + TICK


def mark_of(overdue: Overdue, *, resumed_active: datetime, max_lateness: timedelta | None = None) -> Mark | None:
    """The mark that a resume leaves, given what the active clock shows then; None where nothing expires by it."""
    match overdue:
        case "skip":
            return Mark(resumed_active, resumed_active, "skip")
        case "send_now" if max_lateness is not None:
            return Mark(resumed_active - max_lateness, resumed_active, "max_lateness")
        case _:
            return None


def offset_after(overdue: Overdue, *, offset: timedelta, pause: timedelta) -> timedelta:
    """How far the active clock is behind after a resume: a pause that is shifted is added, any other is jumped over."""
    return offset + pause if overdue == "shift" else offset
