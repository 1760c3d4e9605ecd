"""A sequence's active clock: the plain clock minus the pauses that were shifted; it stands still while paused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

NO_OFFSET = timedelta()


@dataclass(frozen=True, slots=True)
class Stretch:
    """A pause that is over, and what the clock was behind before and after it."""

    paused_at: datetime
    resumed_at: datetime
    offset_before: timedelta
    offset_after: timedelta


@dataclass(frozen=True, slots=True)
class ActiveClock:
    """What the active clock shows at any instant, past ones too as far as the stretches reach back."""

    offset: timedelta = NO_OFFSET
    paused_at: datetime | None = None
    past: Sequence[Stretch] = ()

    def at(self, moment: datetime) -> datetime:
        """The active clock at that instant."""
        for stretch in sorted(self.past, key=lambda stretch: stretch.paused_at):
            if moment < stretch.resumed_at:
                return min(moment, stretch.paused_at) - stretch.offset_before
        if self.paused_at is not None:
            return min(moment, self.paused_at) - self.offset
        return moment - self.offset


def stretch_of(
    *, paused_at: datetime, resumed_at: datetime, offset_after: timedelta, shifted: bool = True
) -> Stretch | None:
    """The last pause, from the state of a sequence that runs again; None where the state is not of that kind."""
    if resumed_at < paused_at:
        return None
    offset_before = offset_after - (resumed_at - paused_at) if shifted else offset_after
    return Stretch(paused_at, resumed_at, max(offset_before, NO_OFFSET), offset_after)
