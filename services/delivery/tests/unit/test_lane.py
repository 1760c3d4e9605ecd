"""How much a lane claims, and whom a claim wakes."""

import asyncio
from typing import Any

import pytest
from delivery.channels.null import NullChannel
from delivery.loops.lane import AHEAD_SECONDS, Lane


def lane(*, idempotent: bool = True, room: int = 10) -> Lane:
    return Lane(NullChannel("webhook", idempotent=idempotent), room)


@pytest.mark.parametrize(("idempotent", "most"), [(True, 10 + 100), (False, 10)])
def test_a_lane_claims_a_tenth_of_a_second_ahead_where_that_can_do_no_harm(idempotent: bool, most: int) -> None:
    fast = lane(idempotent=idempotent)
    fast.count(5.0)
    fast.ended = 500

    fast.count(5.5)

    assert fast.most == most


def test_a_lane_that_has_become_slow_claims_less() -> None:
    slower = lane()
    slower.count(5.0)
    slower.ended = 500
    slower.count(5.5)

    slower.count(5.5 + 2 * AHEAD_SECONDS)

    assert slower.most == slower.room


@pytest.mark.parametrize(
    ("room", "held", "free"),
    [(1, 0, 1), (1, 1, 0), (16, 8, 8), (16, 9, 0), (1_000, 500, 500), (1_000, 501, 0), (10_000, 0, 500)],
)
def test_a_claim_waits_for_half_the_room_and_no_more_than_it_takes_at_once(room: int, held: int, free: int) -> None:
    taken = lane(room=room)
    taken.held = held

    assert taken.free(500) == free


def test_a_lane_with_more_room_than_two_claims_take_asks_for_a_whole_one() -> None:
    wide = lane(room=10_000)
    wide.held = 9_400

    assert wide.free(500) == 500


async def test_a_claim_wakes_as_many_workers_as_it_needs() -> None:
    busy = lane()
    taken = asyncio.Semaphore(0)

    async def work() -> None:
        await busy.next()
        taken.release()
        await asyncio.Event().wait()  # the send takes long

    workers = [asyncio.create_task(work()) for _ in range(10)]
    await asyncio.sleep(0)
    anything: Any = object()
    busy.waiting.extend([anything] * 3)
    busy.call()
    for _ in range(3):
        await taken.acquire()
    resting = len(busy.resting)
    for worker in workers:
        worker.cancel()

    assert (resting, len(busy.waiting)) == (7, 0)


async def test_a_worker_that_was_cancelled_at_its_rest_is_not_called() -> None:
    busy = lane()
    gone, there = (asyncio.create_task(busy.next()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    anything: Any = object()
    busy.waiting.append(anything)

    busy.call()

    assert await there is anything
