"""The breaker on a real database: what it counts, what it says, and that its receipts are as true as a person's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from chassis.health import Health
from delivery.channels.base import Result
from delivery.domain.breaker import Limits
from delivery.loops.breaker import Breaker
from delivery.loops.tally import Tally
from delivery.loops.unserved import Unserved
from delivery.store import attempts
from delivery.store.attempts import Attempt
from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.stack

World = Any
LIMITS = Limits(rest_seconds=0.2)


async def tell(
    world: World, lane: str = "email:", *, servers: int = 0, well: int = 0, failed: int = 0, code: str = "http_503"
) -> None:
    """What sender processes have seen."""
    seen = {Attempt(lane, servers, None): well, Attempt(lane, servers, code): failed}
    async with world.pool.acquire() as conn:
        await attempts.add(conn, {one: count for one, count in seen.items() if count})


async def go(world: World, *, limits: Limits = LIMITS) -> list[Any]:
    """One round, as any process with this loop would go it."""
    await Breaker(world, limits=limits).go_round()
    said: list[Any] = await world.said()
    return said


async def until_said(world: World, kind: str) -> Any:
    """Rounds until it says so."""
    async with asyncio.timeout(5):
        while True:
            for one in await go(world):
                if one.type == kind:
                    return one
            await asyncio.sleep(0.02)


async def test_it_suspends_what_keeps_failing_and_says_why(world: World) -> None:
    await tell(world, well=5, failed=20)
    await tell(world, "webhook:", well=50, failed=10)

    (receipt,) = await go(world)

    assert (receipt.type, receipt.data["scope"], receipt.data["epoch"]) == ("DeliverySuspended", "channel:email", 1)
    assert receipt.data["reason"] == "20 of 25 attempts failed within 30 s (80 %), most often http_503"
    assert receipt.envelope["actor"] == "breaker"
    assert await world.rows("scope", "breaker and status = 'suspended'") == 1


async def test_a_dead_host_among_others_suspends_no_webhooks_and_all_of_them_do(world: World) -> None:
    await tell(world, "webhook:", servers=1, failed=500)
    await tell(world, "webhook:", servers=2, well=1)

    spared = await go(world)
    await tell(world, "webhook:", servers=2, failed=2)
    (receipt,) = await go(world)

    assert spared == []
    assert receipt.data["scope"] == "channel:webhook"
    assert receipt.data["reason"] == "502 of 503 attempts failed within 30 s (100 %), most often http_503"


async def test_a_trial_goes_well_beside_a_host_that_is_still_dead(world: World) -> None:
    await tell(world, "webhook:", servers=1, failed=20)
    await go(world)
    await until_said(world, "DeliveryRestored")
    await tell(world, "webhook:", servers=1, failed=4)
    await tell(world, "webhook:", servers=2, well=1)

    assert await go(world) == []
    assert await world.rows("scope", "status = 'running' and not trial") == 1


async def test_its_receipt_waits_for_the_claims_of_before(world: World, booking: Any) -> None:
    await world.sequence()
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim()
    await tell(world, failed=20)

    before = await go(world)
    too_early = await go(world, limits=Limits(rest_seconds=0.001))
    await world.book(booking(row, "released"))
    (receipt,) = await world.halt()

    assert before == too_early == []
    assert receipt.data["in_flight"] == 1
    assert await world.claim() == []


async def test_a_trial_that_fails_closes_again_for_longer_and_one_that_goes_well_opens_fully(world: World) -> None:
    await tell(world, failed=20)
    await go(world)
    tried = await until_said(world, "DeliveryRestored")
    await tell(world, failed=2)
    again = await until_said(world, "DeliverySuspended")
    rests = await world.rows("scope", "rest_seconds = 0.4")
    tried_again = await until_said(world, "DeliveryRestored")
    await tell(world, well=5)
    silent = await go(world)

    assert [one.data["epoch"] for one in (tried, again, tried_again)] == [2, 3, 4]
    assert tried.data["reason"].startswith("on trial")
    assert again.data["reason"] == "2 of 2 attempts failed on trial (100 %), most often http_503"
    assert rests == 1
    assert silent == []
    assert await world.rows("scope", "status = 'running' and not trial and not breaker and epoch = 4") == 1


async def test_failures_of_before_a_restore_are_forgotten(world: World) -> None:
    await tell(world, failed=20)
    await go(world)
    await world.ask("RestoreDelivery", scope="channel:email")

    assert await go(world) == []
    assert await world.rows("scope", "status = 'running' and not breaker") == 1


async def test_what_a_person_has_suspended_stays_so(world: World) -> None:
    await tell(world, failed=20)
    await go(world)
    await world.ask("SuspendDelivery", scope="channel:email", reason="mine")
    async with world.pool.acquire() as conn:
        await conn.execute("update scope set changed_at = changed_at - interval '1 hour'")

    assert await go(world) == []
    assert await world.rows("scope", "status = 'suspended' and reason = 'mine'") == 1


async def test_several_processes_suspend_it_once(world: World) -> None:
    await tell(world, failed=20)

    await asyncio.gather(*[Breaker(world, limits=Limits()).go_round() for _ in range(4)])

    assert [one.type for one in await world.said()] == ["DeliverySuspended"]
    assert await world.rows("scope", "epoch = 1") == 1


async def test_a_process_tells_its_attempts_added_up_and_which_lanes_it_serves(world: World) -> None:
    tally = Tally(world.pool, owner="p", lanes=["email:"], health=Health(registry=CollectorRegistry()))
    for _ in range(30):
        tally.note("email:", Result.retry("http_503", "busy"))
    tally.note("email:", Result.sent())
    tally.note("email:", Result.refused("template_failed", "ours"))
    finished = asyncio.Event()
    running = asyncio.create_task(tally.run(finished))
    await _until(lambda: world.rows("attempt_tally", "true having count(*) = 2"))
    served = await world.rows("lane_server", "lane = 'email:'")
    finished.set()
    await running

    assert await world.rows("attempt_tally", "attempts = 30 and code = 'http_503'") == 1
    assert await world.rows("attempt_tally", "attempts = 1 and code is null") == 1
    assert (served, await world.rows("lane_server")) == (1, 0)


async def test_a_lane_that_nobody_serves_is_told_once(world: World) -> None:
    message = {"channel": "email", "sender": "promo", "subject": "S", "text": "T"}
    steps = [{"step_id": "hello", "after": "0s", "message": message}]
    await world.sequence(published={"name": "W", "steps": steps})
    await world.sequence("other")
    await world.contacts("c")
    await world.enroll("c")
    await world.enroll("c", sequence_id="other")
    unserved = Unserved(world)
    async with world.pool.acquire() as conn:
        await attempts.serve(conn, "p", ["email:"])

    with structlog.testing.capture_logs() as first:
        await unserved.go_round()
    with structlog.testing.capture_logs() as again:
        await unserved.go_round()
    async with world.pool.acquire() as conn:
        await attempts.serve(conn, "q", ["email:promo"])
    with structlog.testing.capture_logs() as served:
        await unserved.go_round()

    told = [[(one["event"], one["lane"]) for one in logs] for logs in (first, again, served)]
    assert told == [[("lane_unserved", "email:promo")], [], [("lane_served", "email:promo")]]


async def _until(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110 - what is waited for is a row
            await asyncio.sleep(0.02)
