"""Everything at once: nothing waits for itself in a circle, nothing is lost, and the books are closed throughout."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = 3.0
SEQUENCES = ("s", "t")
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


class Storm:
    """What a few processes and people do at the same time, each in a task of its own."""

    def __init__(self, world: Any, sent: Any, booking: Any, chance: random.Random) -> None:
        self.world = world
        self.sent = sent
        self.booking = booking
        self.chance = chance
        self.numbers = itertools.count()
        self.versions = itertools.count(2)
        self.entered: list[tuple[str, str, str]] = []
        self.epoch = dict.fromkeys(SEQUENCES, 0)
        self.version = dict.fromkeys(SEQUENCES, 1)

    def state(self, sequence_id: str) -> dict[str, Any]:
        steps = [
            {"step_id": one, "after": "0s", "message": {"channel": "email", "subject": "S", "text": "T"}}
            for one in "abcde"[: 2 + self.version[sequence_id] % 4]
        ]
        state = {"version": self.version[sequence_id], "epoch": self.epoch[sequence_id]}
        return {**state, "published": {"name": "W", "steps": steps}}

    async def enrolls(self) -> None:
        sequence_id = self.chance.choice(SEQUENCES)
        names = [f"c{next(self.numbers)}" for _ in range(20)]
        ids = await self.world.enroll(*names, sequence_id=sequence_id)
        self.entered += [(name, one, sequence_id) for name, one in zip(names, ids, strict=True)]

    async def removes(self) -> None:
        if self.entered:
            name, one, sequence_id = self.chance.choice(self.entered)
            await (
                self.world.remove(name, one) if self.chance.random() < 0.5 else self.world.stop(name, one, sequence_id)
            )

    async def edits_and_stops(self) -> None:
        sequence_id = self.chance.choice(SEQUENCES)
        if self.chance.random() < 0.5:
            self.version[sequence_id] += 1
            await self.world.sequence(sequence_id, **self.state(sequence_id))
            return
        self.epoch[sequence_id] += 1
        await self.world.pause(sequence_id, **self.state(sequence_id))
        self.epoch[sequence_id] += 1
        how = {"overdue": "skip", "clock_offset_seconds": 0.0} if self.chance.random() < 0.2 else {}
        await self.world.resume(sequence_id, **self.state(sequence_id), resumed=NOON + timedelta(seconds=1), **how)

    async def changes_contacts(self) -> None:
        names = {self.chance.choice(self.entered)[0] for _ in range(30)} if self.entered else set()
        if names:
            await self.world.contacts(
                *names, state_version=next(self.versions), timezone=self.chance.choice(["UTC", "Asia/Tokyo"])
            )

    async def sends(self) -> None:
        rows = await self.world.claim(self.chance.choice(SEQUENCES), room=15)
        if self.chance.random() < 0.1:
            return  # killed: the reaper's business
        self.chance.shuffle(rows)
        made = [self.result(row) for row in rows]
        if made:
            await self.world.book(*made)

    def result(self, row: Any) -> Any:
        looked = {"contact_at": row.contact_at, "planned_under": row.effective}
        match self.chance.randrange(7):
            case 0:
                return self.booking(row, "retry", retry_after=timedelta(0))
            case 1:
                return self.booking(row, "released")
            case 2:
                return self.booking(row, "failed", code="x", detail="x")
            case 3:
                return self.booking(row, "held", **looked, opens_at=NOON + timedelta(days=400))
            case 4:
                return self.booking(row, "withheld", **looked, notice=b'{"type": "StopConditionMet.v1"}')
            case _:
                following = chr(ord(row.step_id) + 1)
                known = following in "abcde"[: 2 + row.effective % 4]
                return self.sent(row, following if known else None, next_after=timedelta(0))

    async def reaps(self) -> None:
        self.world.monotonic.move(11.5)
        await self.world.reaper.go_round()


async def again_and_again(doing: Callable[[], Awaitable[Any]], until: float) -> int:
    loop, rounds = asyncio.get_running_loop(), 0
    while loop.time() < until:
        await doing()
        rounds += 1
        await asyncio.sleep(0.002)  # the others' turn
    return rounds


async def test_no_two_of_all_that_happens_wait_for_each_other_in_a_circle(
    world: World, sent: Any, booking: Any
) -> None:
    storm = Storm(world, sent, booking, random.Random(7))
    for sequence_id in SEQUENCES:
        await world.sequence(sequence_id, **storm.state(sequence_id))
    await storm.enrolls()
    async with world.pool.acquire() as conn:
        before = await conn.fetchval(DEADLOCKS)
    until = asyncio.get_running_loop().time() + SECONDS
    doings: list[Callable[[], Awaitable[Any]]] = [
        storm.enrolls,
        storm.removes,
        storm.edits_and_stops,
        storm.sends,
        storm.sends,
        storm.reaps,
        storm.changes_contacts,
        world.expirer.go_round,
        world.planner.go_round,
        world.halter.go_round,
        world.bookkeeper.go_round,
    ]

    rounds = await asyncio.gather(*[again_and_again(one, until) for one in doings])

    world.monotonic.move(60.0)
    await world.go("reaper")
    world.monotonic.move(60.0)
    await world.go("reaper", "halter", "planner", "bookkeeper")
    async with world.pool.acquire() as conn:
        assert await conn.fetchval(DEADLOCKS) == before
    assert min(rounds) > 0
    for sequence_id in SEQUENCES:
        assert "claimed" not in await world.books(sequence_id)
    for table in ("claim", "sequence_halt", "contact_halt", "replan"):
        assert await world.rows(table) == 0, table
    assert await world.rows("pending", "lane is null") == 0
    assert await world.rows("(select from message group by message_id having count(*) > 1)") == 0
