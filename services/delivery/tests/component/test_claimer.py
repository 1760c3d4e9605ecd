"""Claims go on from where the last one ended, and leave nothing behind."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from delivery.loops import claimer
from delivery.loops.claimer import Claimer
from delivery.loops.pace import Pace
from delivery.store import claiming

pytestmark = pytest.mark.stack

World = Any
LANE = "email:"
MORNING = datetime(2026, 3, 1, 6, tzinfo=UTC)
ROWS = 20_000

_ROWS = """
insert into pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane, due_active,
    base_active)
select gen_random_uuid(), 's', 'c' || n, 1, 1, 'a', 'email:', $2::timestamptz + n * interval '1 ms', $2
from generate_series(1, $1::integer) n
"""
_GATE = """
insert into gate (sequence_id, state_version, status, open, epoch, version, change)
values ('s', 1, 'active', true, 0, 1, 1)
"""


def claimer_of(world: World) -> Claimer:
    pace = Pace({}, monotonic=world.monotonic)
    return Claimer(
        world.pool, owner="tests", lanes=[LANE], tell_clock=lambda _: None, pace=pace, monotonic=world.monotonic
    )


async def due_at(world: World, *names: str, minutes: int = 0) -> None:
    """Messages that became due a minute apart, in this order."""
    await world.contacts(*names)
    for number, name in enumerate(names, minutes):
        await world.enroll(name, at=MORNING + timedelta(minutes=number))


async def test_what_is_planned_for_before_the_last_claim_is_claimed_within_a_second(world: World) -> None:
    await world.sequence()
    await due_at(world, *"abcdef")
    claims = claimer_of(world)

    first = {row.contact_id for row in await claims.claim({LANE: 2})}
    await due_at(world, "early", minutes=-5)
    second = {row.contact_id for row in await claims.claim({LANE: 2})}
    world.monotonic.move(claimer.AGAIN_SECONDS)
    third = {row.contact_id for row in await claims.claim({LANE: 2})}

    assert (first, second, third) == ({"a", "b"}, {"c", "d"}, {"early", "e"})


@pytest.mark.parametrize(("takes", "rest"), [(0.01, 1.0), (0.2, 4.0), (5.0, claimer.REST_SECONDS_MAX)])
async def test_where_beginning_again_takes_long_it_is_done_less_often_but_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch, takes: float, rest: float
) -> None:
    begun: list[float] = []
    claim = claiming.claim

    async def slow(conn: Any, rooms: Any, *, since: Any, **more: Any) -> Any:
        if len(since) < len(rooms):
            begun.append(world.monotonic())
            world.monotonic.move(takes)
        return await claim(conn, rooms, since=since, **more)

    monkeypatch.setattr(claiming, "claim", slow)
    await world.sequence()
    await due_at(world, *(f"c{number}" for number in range(100)))
    claims = claimer_of(world)

    for _ in range(45):
        await claims.claim({LANE: 1})
        world.monotonic.move(claimer.AGAIN_SECONDS)

    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert pauses
    assert all(rest <= pause <= rest + takes + claimer.AGAIN_SECONDS for pause in pauses)


async def test_a_claim_that_fails_where_it_begins_again_goes_on_from_where_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.sequence()
    await due_at(world, *"abcd")
    claims = claimer_of(world)
    await claims.claim({LANE: 2})
    await due_at(world, "early", minutes=-5)
    world.monotonic.move(claimer.AGAIN_SECONDS)

    with monkeypatch.context() as patch:
        patch.setattr(
            claiming, "_CLAIM", claiming._CLAIM.replace("order by p.due_active", "order by 1 / 0, p.due_active")
        )
        with pytest.raises(asyncpg.DivisionByZeroError):
            await claims.claim({LANE: 1})

    assert [row.contact_id for row in await claims.claim({LANE: 1})] == ["c"]
    world.monotonic.move(claimer.AGAIN_SECONDS)
    assert [row.contact_id for row in await claims.claim({LANE: 1})] == ["early"]


async def test_with_many_sequences_each_begins_again_at_its_oldest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimer, "PLACES_MAX", 1)
    await world.contacts(*"abcd")
    for sequence_id in ("s", "t"):
        await world.sequence(sequence_id)
        for number, name in enumerate("abc"):
            await world.enroll(name, sequence_id=sequence_id, at=MORNING + timedelta(minutes=number))
    claims = claimer_of(world)
    got = [row for _ in range(2) for row in await claims.claim({LANE: 1})]
    for sequence_id in ("s", "t"):
        await world.enroll("d", sequence_id=sequence_id, at=MORNING - timedelta(minutes=5))

    world.monotonic.move(claimer.AGAIN_SECONDS)
    again = [row for _ in range(2) for row in await claims.claim({LANE: 1})]

    assert Counter(row.sequence_id for row in got) == {"s": 1, "t": 1}
    assert sorted((row.sequence_id, row.contact_id) for row in again) == [("s", "d"), ("t", "d")]


async def test_a_place_is_left_once_less_is_due_there_than_is_asked_for(world: World) -> None:
    await world.sequence()
    await due_at(world, *"abc")
    claims = claimer_of(world)

    assert len(await claims.claim({LANE: 2})) == 2
    assert len(await claims.claim({LANE: 2})) == 1
    await due_at(world, "early", minutes=-5)
    assert await claims.claim({LANE: 2}) == []
    world.monotonic.move(claims.rest)
    assert [row.contact_id for row in await claims.claim({LANE: 2})] == ["early"]


async def test_what_has_ended_under_an_old_snapshot_is_not_walked_through_again(world: World) -> None:
    async with world.pool.acquire() as old, world.pool.acquire() as conn:
        await conn.execute(_GATE)
        async with old.transaction(isolation="repeatable_read"):
            await old.fetchval("select count(*) from gate")
            await conn.execute(_ROWS, ROWS, MORNING)
            last = MORNING + timedelta(milliseconds=ROWS - 100)
            await conn.execute("delete from pending where due_active < $1", last)

            anew = await _buffers(conn, since=None)
            going_on = await _buffers(conn, since=last)

    assert going_on < 1_000
    assert anew > 10 * going_on


async def _buffers(conn: Any, *, since: datetime | None) -> int:
    """How many buffers a claim of ten looks at."""
    transaction = conn.transaction()
    await transaction.start()
    arguments = [["s"], [LANE], [10], 1, "tests", [since]]
    try:
        (line, *_) = [
            row[0]
            for row in await conn.fetch(f"explain (analyze, buffers) {claiming._CLAIM}", *arguments)
            if "Buffers" in row[0]
        ]
    finally:
        await transaction.rollback()
    return int(line.split("hit=")[1].split()[0])
