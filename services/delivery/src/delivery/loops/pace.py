"""Keeps a sender process to the rates of its lanes, which all sender processes share."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from chassis.clock import monotonic
from chassis.pool import Conn

from delivery.domain.rate import Rate
from delivery.store import rates

WORTHWHILE_SECONDS: Final = 0.05
"""A claim is made for at least so much of the rate, or for one message: so a claim is worth its price."""
ASK_SECONDS_MAX: Final = 1.0
"""So soon a slow lane is asked again: another process may have given something back meanwhile."""
TRIAL_RATE: Final = Rate(1.0)
TRIAL_HELD_MAX: Final = 2
"""What one process lets through of a lane on trial: a trickle, however long each send takes."""


class Held(NamedTuple):
    """A lane's rate while a claim holds it."""

    rate: Rate
    spent_until: datetime
    now: datetime
    allowed: int


class Pace:
    """What each lane may claim now. Without a rate a lane is bounded by its connections alone.

    A claim holds its lanes' rates while it picks, and spends what it has picked; what it was given and did not send
    is credited with the next one.
    """

    def __init__(
        self,
        limits: Mapping[str, Rate],
        *,
        on_trial: Callable[[str], bool] = lambda lane: False,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._limits = limits
        self._on_trial = on_trial
        self._monotonic = monotonic
        self._ask_at: dict[str, float] = {}
        self._credit: Counter[str] = Counter()
        self._held: dict[str, Held] = {}

    def rooms(self, rooms: Mapping[str, int], *, held: Mapping[str, int]) -> dict[str, int]:
        """Of these rooms, what it pays to ask for now; `held` is what each lane has claimed and not ended."""
        now = self._monotonic()
        asked: dict[str, int] = {}
        for lane, room in rooms.items():
            rate = self._rate(lane)
            if rate is not None and now < self._ask_at.get(lane, 0.0):
                continue
            if self._on_trial(lane):
                room = min(room, TRIAL_HELD_MAX - held[lane])
            if rate is not None:
                room = min(room, int(rate.burst))
            if room > 0:
                asked[lane] = room
        return asked

    async def hold(self, conn: Conn, rooms: Mapping[str, int]) -> dict[str, int]:
        """Lock the rates of these lanes, and say how much of each room they allow. In a claim's transaction."""
        self._held = {}
        limited = {lane: rate for lane in rooms if (rate := self._rate(lane)) is not None}
        if not limited:
            return dict(rooms)
        allowed = dict(rooms)
        for lane, bucket in (await rates.hold(conn, list(limited))).items():
            # Where the claim fails the credit is lost: rather too little than twice.
            spent_until = limited[lane].credit(bucket.spent_until, self._credit.pop(lane, 0))
            allowed[lane] = min(rooms[lane], limited[lane].available(spent_until, now=bucket.now))
            self._held[lane] = Held(limited[lane], spent_until, bucket.now, allowed[lane])
        return {lane: room for lane, room in allowed.items() if room > 0}

    async def spend(self, conn: Conn, taken: Mapping[str, int]) -> None:
        """Spend what was picked of the lanes that are held; one that got all it was allowed is asked again later."""
        spent_until: dict[str, datetime] = {}
        for lane, (rate, before, now, allowed) in self._held.items():
            spent_until[lane] = rate.spend(before, taken.get(lane, 0), now=now)
            if taken.get(lane, 0) >= allowed:
                wanted = max(1.0, min(rate.burst, rate.per_second * WORTHWHILE_SECONDS))
                left = rate.available(spent_until[lane], now=now)
                fills = max(0.0, wanted - left) / rate.per_second
                self._ask_at[lane] = self._monotonic() + min(fills, ASK_SECONDS_MAX)
        if spent_until:
            await rates.spend(conn, spent_until)

    def credit(self, lane: str) -> None:
        """A message of the lane was claimed and given back: it did not leave."""
        if self._rate(lane) is not None:
            self._credit[lane] += 1

    def _rate(self, lane: str) -> Rate | None:
        rate = self._limits.get(lane)
        if not self._on_trial(lane):
            return rate
        return TRIAL_RATE if rate is None or rate.per_second > TRIAL_RATE.per_second else rate
