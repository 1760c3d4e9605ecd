"""Claims for one sender process: round robin over what is due, so that no campaign and no lane starves another."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog
from chassis.clock import monotonic
from chassis.pool import Pool

from delivery.domain.lapse import Claimed as Lapsed
from delivery.domain.message import message_id_of
from delivery.loops.pace import Pace
from delivery.store import claiming, lapsed, locks
from delivery.store.booking import Booking, Ending, book
from delivery.store.claiming import Claimed

log = structlog.get_logger()

LOOK_SECONDS_IDLE: Final = 0.05
LOOK_SECONDS_BUSY: Final = 0.1
"""How soon to look again for what has become due; behind a campaign of a million the next one waits no longer."""
LOOK_SHARE_MAX: Final = 0.1
"""What looking may take of the time: with thousands of sequences it is done less often."""

Place = tuple[str, str]
"""A sequence and a lane."""


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
        self._due: list[Place] = []
        self._look_at = 0.0
        self._lost: set[int] = set()

    async def claim(self, rooms: Mapping[str, int]) -> list[Claimed]:
        """Claim once, at most so many messages of each lane; nothing where nothing is due.

        Where it fails nobody knows whether the claim stands: it is given back before the next one.
        """
        await self.give_back()
        await self._look()
        due = {lane for _, lane in self._due}
        wanted = {lane: room for lane, room in rooms.items() if lane in due}
        if not wanted:
            return []
        async with self._pool.acquire() as conn, conn.transaction():
            token, now = await claiming.begin(conn)
            self._tell_clock(now)
            asked = shares(self._due, await self._pace.hold(conn, wanted))
            self._lost.add(token)
            rows = await claiming.claim(conn, asked, token=token, owner=self._owner) if asked else []
            await self._pace.spend(conn, Counter(row.lane for row in rows))
        self._lost.discard(token)
        got = Counter((row.sequence_id, row.lane) for row in rows)
        # Who was asked for less comes first next time: so a room that is odd for its places favours none.
        still = sorted((place for place, count in asked.items() if got[place] >= count), key=asked.__getitem__)
        self._due = [place for place in self._due if place not in asked] + still
        return rows

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
        started = self._monotonic()
        if started < self._look_at:
            return
        async with self._pool.acquire() as conn:
            found = await claiming.probe(conn, self._lanes)
        random.shuffle(found)
        known, now = set(self._due), set(found)
        self._due = [place for place in self._due if place in now] + [p for p in found if p not in known]
        ended = self._monotonic()
        rest = LOOK_SECONDS_BUSY if self._due else LOOK_SECONDS_IDLE
        self._look_at = ended + max(rest, (ended - started) / LOOK_SHARE_MAX)


def shares(due: Sequence[Place], rooms: Mapping[str, int]) -> dict[Place, int]:
    """How much to ask of each place: each lane's room, all of it and no more, in equal shares."""
    asked: dict[Place, int] = {}
    for lane, room in rooms.items():
        places = [place for place in due if place[1] == lane][:room]
        for number, place in enumerate(places):
            asked[place] = room // len(places) + (number < room % len(places))
    return asked


def _released(row: Lapsed, token: int) -> Booking:
    message_id = message_id_of(row.enrollment_id, row.step_id)
    return Booking(row.enrollment_id, row.contact_id, token, Ending.RELEASED, message_id, "", None)
