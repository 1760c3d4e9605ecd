"""How fast a lane may be sent: a bucket of sends that fills at its rate, kept as one moment.

`spent_until` is the virtual time up to which the rate is used up. What lies between it and now may be sent, at most a
burst: so over any stretch of time no more is sent than the rate gives, and one burst.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

BURST_SECONDS: Final = 0.5
"""How much of an idle time is made up for; also how much is claimed ahead, so that nobody waits behind it for long."""
PER_SECOND_MAX: Final = 100_000.0
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many sends per second."""

    per_second: float

    def __post_init__(self) -> None:
        if not 0 < self.per_second <= PER_SECOND_MAX:
            raise ValueError(f"must be above 0 and at most {PER_SECOND_MAX:.0f} per second")

    @property
    def burst(self) -> float:
        """The most that is sent at once: half a second's worth, at least one."""
        return max(1.0, self.per_second * BURST_SECONDS)

    def available(self, spent_until: datetime, *, now: datetime) -> int:
        """How many sends may start now. A clock that was set back does not hold them up for longer than a burst."""
        filled = (now - self._floor(spent_until, now)) / timedelta(seconds=1) * self.per_second
        return math.floor(filled + 1e-6)

    def spend(self, spent_until: datetime, count: int, *, now: datetime) -> datetime:
        """The moment after so many sends; rounded up, so that no rounding adds up to a send too many."""
        return self._floor(spent_until, now) + self._worth(count)

    def credit(self, spent_until: datetime, count: int) -> datetime:
        """The moment after so many sends that were spent and did not leave."""
        return spent_until - timedelta(microseconds=math.floor(count * _MICROSECONDS / self.per_second))

    def _floor(self, spent_until: datetime, now: datetime) -> datetime:
        return min(max(spent_until, now - self._worth(self.burst)), now)

    def _worth(self, count: float) -> timedelta:
        return timedelta(microseconds=math.ceil(count * _MICROSECONDS / self.per_second))
