"""Who cannot hear stops does not send: what a sender knows of gates and heartbeats, and for how long."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from chassis.health import Health
from delivery.loops.control import Control
from delivery.settings import DeliverySettings
from messaging import consume, service
from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.stack

World = Any
STALENESS_SECONDS = 3.0


class Watcher:
    """A sender's copy, and a look at a moment of the test's choosing."""

    def __init__(self, world: Any, conn: Any) -> None:
        self.world = world
        self.conn = conn
        self.control = Control(
            world.pool,
            staleness_seconds_max=STALENESS_SECONDS,
            health=Health(registry=CollectorRegistry()),
            monotonic=world.monotonic,
        )

    async def look(self, *, after: float = 0.1) -> bool:
        self.world.monotonic.move(after)
        await self.control.look(self.conn)
        return self.control.fresh()


@pytest.fixture
async def watcher(world: World) -> AsyncIterator[Watcher]:
    async with world.pool.acquire() as conn:
        yield Watcher(world, conn)


async def test_nothing_is_sent_before_every_control_reader_has_confirmed_since_the_start(
    world: World, watcher: Watcher
) -> None:
    without = await watcher.look()
    await world.beat()
    first = await watcher.look()
    await world.beat()
    risen = await watcher.look()

    assert (without, first, risen) == (False, False, True)


async def test_a_topic_with_a_partition_that_nobody_confirms_is_not_heard(world: World, watcher: Watcher) -> None:
    for _ in range(3):
        await world.beat(partitions=2)
        await watcher.look()

    assert not watcher.control.fresh()


async def test_with_no_confirmation_sending_stops_by_itself(world: World, watcher: Watcher) -> None:
    for _ in range(3):
        await world.beat()
        await watcher.look()
    for _ in range(28):
        await watcher.look()
    before = watcher.control.fresh()
    await watcher.look(after=0.2)

    assert (before, watcher.control.fresh()) == (True, False)


async def test_a_copy_that_is_not_refreshed_goes_stale_by_itself(world: World, watcher: Watcher) -> None:
    for _ in range(3):
        await world.beat()
        await watcher.look()
    world.monotonic.move(STALENESS_SECONDS)

    assert not watcher.control.fresh()


async def test_a_confirmation_that_is_seen_late_may_be_as_old_as_the_look_before(
    world: World, watcher: Watcher
) -> None:
    for _ in range(3):
        await world.beat()
        await watcher.look()
    await world.beat()

    assert not await watcher.look(after=10.0)


async def test_a_claim_holds_only_while_its_gate_is_open_at_its_epoch(world: World, watcher: Watcher) -> None:
    await world.sequence(epoch=0)
    for _ in range(3):
        await world.beat()
        await watcher.look()
    opened = [watcher.control.may_send("s", epoch) for epoch in (0, 1)]

    await world.pause()
    await watcher.look()
    paused = [watcher.control.may_send("s", epoch) for epoch in (0, 1)]

    assert (opened, paused) == ([True, False], [False, False])
    assert not watcher.control.may_send("unheard-of", 0)


async def test_gates_of_a_database_that_was_put_back_are_read_anew(world: World, watcher: Watcher) -> None:
    await world.sequence()
    await world.pause()
    await world.resume(resumed=datetime(2026, 3, 2, tzinfo=UTC))
    for _ in range(3):
        await world.beat()
        await watcher.look()
    async with world.pool.acquire() as conn:
        await conn.execute("update gate set open = false, status = 'paused', change = 1")

    watcher.control._change = 0  # as for every new connection
    await watcher.look()

    assert not watcher.control.may_send("s", 2)


def test_the_ages_of_a_confirmation_add_up_to_no_more_than_is_promised() -> None:
    settings = DeliverySettings(
        database_url="postgresql://a:b@127.0.0.1/c",
        kafka_bootstrap_servers=["127.0.0.1:9092"],
    )
    poll_age = consume.POLL_FRESH_MILLISECONDS_MAX / 1_000

    oldest = poll_age + service.BEAT_SECONDS + settings.gate_staleness_seconds_max

    assert oldest < settings.control_staleness_seconds_max
