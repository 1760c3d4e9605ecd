"""Rates that several sender processes share, and who gets how much of them."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from delivery.domain.rate import Rate
from delivery.loops.claimer import Claimer
from delivery.loops.pace import Pace

pytestmark = pytest.mark.stack

World = Any
LANE = "email:"
RATE = Rate(60.0)
SECONDS = 2.0


class Process:
    """What a sender process claims, and when, by the database's clock."""

    def __init__(self, world: Any, *, rate: Rate | None = RATE, trial: bool = False) -> None:
        self.world = world
        self.pace = Pace({} if rate is None else {LANE: rate}, on_trial=lambda _: trial)
        self.claimer = Claimer(world.pool, owner="tests", lanes=[LANE], tell_clock=lambda _: None, pace=self.pace)
        self.claims: list[tuple[datetime, int]] = []
        self.rows: list[Any] = []

    async def claim(self, *, room: int = 500, held: int = 0) -> int:
        rows = await self.claimer.claim(self.pace.rooms({LANE: room}, held={LANE: held}))
        if rows and self.pace._held:
            at = self.pace._held[LANE].now  # a claim is as old as that: on a busy machine it may take its time
            self.claims.append((at, len(rows)))
        self.rows += rows
        return len(rows)

    async def claims_for(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            await self.claim()
            await asyncio.sleep(0.005)


async def due(world: World, count: int, sequence_id: str = "s") -> None:
    """So many messages that are due."""
    await world.sequence(sequence_id)
    names = [f"c{number}" for number in range(count)]
    if sequence_id == "s":
        await world.contacts(*names)
    await world.enroll(*names, sequence_id=sequence_id)


async def test_several_processes_together_keep_to_the_rate_and_get_it(world: World) -> None:
    await due(world, 400)
    processes = [Process(world) for _ in range(3)]

    await asyncio.gather(*[one.claims_for(SECONDS) for one in processes])

    claims = sorted(claim for one in processes for claim in one.claims)
    for start in range(len(claims)):
        total = 0
        for at, count in claims[start:]:
            total += count
            seconds = (at - claims[start][0]).total_seconds()
            assert total <= seconds * RATE.per_second + RATE.burst + 1
    assert sum(count for _, count in claims) >= 0.5 * SECONDS * RATE.per_second
    assert all(one.claims for one in processes)


async def test_a_small_sequence_gets_its_turn_within_a_second_beside_a_large_one(world: World) -> None:
    await due(world, 400)
    await due(world, 1, "small")
    process = Process(world, rate=Rate(20.0))

    await process.claims_for(1.0)

    claimed = Counter(row.sequence_id for row in process.rows)
    assert claimed["small"] == 1
    assert claimed["s"] > 10


async def test_equal_sequences_get_equal_shares(world: World) -> None:
    for sequence_id in ("s", "t", "u"):
        await due(world, 100, sequence_id)
    process = Process(world, rate=Rate(50.0))

    await process.claims_for(1.5)

    shares = Counter(row.sequence_id for row in process.rows)
    assert max(shares.values()) - min(shares.values()) <= 0.3 * max(shares.values())


async def test_what_is_given_back_does_not_count(world: World, booking: Any) -> None:
    await due(world, 100)
    process = Process(world, rate=Rate(20.0))
    first = await process.claim()
    await world.book(*[booking(row, "released") for row in process.rows])
    for _ in range(first):
        process.pace.credit(LANE)
    await asyncio.sleep(0.1)

    again = await process.claim()

    assert first == 10
    assert again >= 9


async def test_a_claim_that_finds_less_than_the_rate_allows_leaves_the_rest(world: World) -> None:
    await due(world, 2)
    process = Process(world, rate=Rate(20.0))

    assert await process.claim() == 2
    async with world.pool.acquire() as conn:
        unspent = await conn.fetchval(
            "select extract(epoch from clock_timestamp() - spent_until)::float8 from lane_rate where lane = $1", LANE
        )
    assert unspent > 0.3


async def test_a_lane_on_trial_lets_a_trickle_through(world: World) -> None:
    await due(world, 50)
    processes = [Process(world, rate=None, trial=True) for _ in range(2)]

    await asyncio.gather(*[one.claims_for(1.5) for one in processes])

    assert 1 <= sum(len(one.rows) for one in processes) <= 3
    assert await processes[0].claim(held=2) == 0
