"""How long an enroll waits for what has not been heard of: our own lag refuses nobody."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Patience:
    """Moments at which the reader of a topic had caught up, oldest first, each at least a second after the last."""

    seconds_max: float
    caught_up: tuple[datetime, ...] = ()
    horizon: datetime | None = None
    """Who was parked until then has waited long enough: since a moment not before its parking at which the reader had
    caught up, and for `seconds_max` from there to a moment at which it had caught up again."""

    def observe(self, caught_up_at: datetime | None) -> "Patience":
        """Take over the last moment at which the reader had caught up; None where it never had."""
        if caught_up_at is None or (self.caught_up and caught_up_at < self.caught_up[-1] + timedelta(seconds=1)):
            return self
        ripe = caught_up_at - timedelta(seconds=self.seconds_max)
        horizon = max((moment for moment in self.caught_up if moment <= ripe), default=self.horizon)
        kept = tuple(moment for moment in self.caught_up if moment > ripe)
        return Patience(self.seconds_max, (*kept, caught_up_at), horizon)
