"""Claims for one sender process: round robin over what is due, so that no campaign and no lane starves another."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog
from chassis.clock import monotonic
from chassis.pool import Conn, Pool

from delivery.domain.lapse import Claimed as Lapsed
from delivery.domain.message import message_id_of
from delivery.loops.pace import Pace
from delivery.store import claiming, lapsed, locks
from delivery.store.booking import Booking, Ending, book
from delivery.store.claiming import Claimed, Place

log = structlog.get_logger()

LOOK_SECONDS_IDLE: Final = 0.05
LOOK_SECONDS_FLOWING: Final = 0.02
"""While all that is due is taken each time, and more comes."""
LOOK_SECONDS_BUSY: Final = 0.1
"""How soon to look again for what has become due; behind a campaign of a million the next one waits no longer."""
LOOK_SHARE_MAX: Final = 0.1
"""What looking may take of the time: with thousands of sequences it is done less often."""
PLACES_MAX: Final = 100
"""How many places one claim takes from: each costs a look, and of each the books are moved; the others come next."""

AGAIN_SECONDS: Final = 1.0
"""Where more is due than is taken, claims go on from where the last one ended; so soon they begin at the oldest again,
for what has been planned or given back meanwhile."""
AGAIN_SHARE_MAX: Final = 0.05
"""What that may take of the time: it is done less often where an old snapshot keeps all that was sent in the way."""
REST_SECONDS_MAX: Final = 10.0
"""Neither is done less often than this, however long it took once."""


class Claimer:
    """Knows where something is due, and takes from there in turn."""

    def __init__(
        self,
        pool: Pool,
        *,
        owner: str,
        lanes: Sequence[str],
        tell_clock: Callable[[datetime], None],
        pace: Pace,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._tell_clock = tell_clock
        self._pace = pace
        self._monotonic = monotonic
        self._owner = owner
        self._lanes = list(lanes)
        self._due: dict[Place, datetime | None] = {}
        """Where something is due, the next first, and since when; None: since ever."""
        self._anew: set[Place] = set()
        """Those that are to begin at the oldest again."""
        self._anew_at = 0.0
        """Since when they are."""
        self._anew_seconds = 0.0
        """What that has taken so far."""
        self._looked_at = 0.0
        self._look_seconds = 0.0
        self._flowing = False
        self._lost: set[int] = set()

    @property
    def rest(self) -> float:
        """So many seconds until it looks again for what has become due."""
        usual = LOOK_SECONDS_BUSY if self._due else LOOK_SECONDS_FLOWING if self._flowing else LOOK_SECONDS_IDLE
        rest = max(usual, min(self._look_seconds / LOOK_SHARE_MAX, REST_SECONDS_MAX))
        return max(0.0, self._looked_at + rest - self._monotonic())

    async def claim(self, rooms: Mapping[str, int]) -> list[Claimed]:
        """Claim once, at most so many messages of each lane; nothing where nothing is due.

        Where it fails nobody knows whether the claim stands: it is given back before the next one.
        """
        await self.give_back()
        await self._look()
        lanes = {lane for _, lane in self._due}
        wanted = {lane: room for lane, room in rooms.items() if lane in lanes}
        if not wanted:
            return []
        async with self._pool.acquire() as conn, conn.transaction():
            token, now = await claiming.begin(conn)
            self._tell_clock(now)
            asked = shares(list(self._due), await self._pace.hold(conn, wanted))
            self._lost.add(token)
            rows = await self._take(conn, asked, token) if asked else []
            await self._pace.spend(conn, Counter(row.lane for row in rows))
        self._lost.discard(token)
        self._keep(asked, rows)
        return rows

    async def _take(self, conn: Conn, asked: Mapping[Place, int], token: int) -> list[Claimed]:
        started = self._monotonic()
        rest = max(AGAIN_SECONDS, min(self._anew_seconds / AGAIN_SHARE_MAX, REST_SECONDS_MAX))
        if started >= self._anew_at + rest:
            self._anew, self._anew_at, self._anew_seconds = set(self._due), started, 0.0
        anew = not self._anew.isdisjoint(asked)
        since = {place: self._due[place] for place in asked if place not in self._anew}
        try:
            return await claiming.claim(conn, asked, token=token, owner=self._owner, since=since)
        finally:
            self._anew.difference_update(asked)
            self._anew_seconds += anew * (self._monotonic() - started)

    def _keep(self, asked: Mapping[Place, int], rows: Sequence[Claimed]) -> None:
        """Where all that was asked for was got, more is due. Who was asked for less comes first next time: so a room
        that is odd for its places favours none."""
        got: Counter[Place] = Counter()
        last: dict[Place, datetime] = {}
        for row in rows:
            place = row.sequence_id, row.lane
            got[place] += 1
            last[place] = max(last.get(place, row.due_at), row.due_at)
        still = sorted((place for place, count in asked.items() if got[place] >= count), key=asked.__getitem__)
        others = {place: since for place, since in self._due.items() if place not in asked}
        self._due = others | {place: last[place] for place in still}

    async def give_back(self) -> None:
        """Release the claims whose answers were lost: nothing of them was sent, and nobody but this process knows."""
        for token in list(self._lost):
            async with self._pool.acquire() as conn, conn.transaction():
                await locks.share_gates(conn)
                held = await lapsed.hold(conn, token)
                # One that is unknown now has to be told: that is the reaper's, which will find the claim.
                rows = [row for row in held if not (row.halted and row.in_doubt)]
                finished = [token] if len(rows) == len(held) else []
                await book(conn, [_released(row, token) for row in rows], finished=finished)
            self._lost.discard(token)
            log.warning("claim_given_back", token=token, count=len(rows))

    async def _look(self) -> None:
        if self.rest:
            return
        async with self._pool.acquire() as conn:
            started = self._monotonic()
            found = await claiming.probe(conn, self._lanes, besides=self._due)
        random.shuffle(found)
        self._due |= dict.fromkeys(found)
        self._flowing = bool(self._due)
        self._looked_at = self._monotonic()
        self._look_seconds = self._looked_at - started


def shares(due: Sequence[Place], rooms: Mapping[str, int]) -> dict[Place, int]:
    """How much to ask of each place: each lane's room, all of it and no more, in equal shares."""
    asked: dict[Place, int] = {}
    for lane, room in rooms.items():
        places = [place for place in due if place[1] == lane][: min(room, PLACES_MAX)]
        for number, place in enumerate(places):
            asked[place] = room // len(places) + (number < room % len(places))
    return asked


def _released(row: Lapsed, token: int) -> Booking:
    message_id = message_id_of(row.enrollment_id, row.step_id)
    return Booking(row.enrollment_id, row.contact_id, token, Ending.RELEASED, message_id, "", None)
