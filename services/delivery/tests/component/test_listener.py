"""Who gives receipts is told at once that one is owed, and when what it waits for has ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from chassis.health import Health
from chassis.pool import session
from delivery.loops.listener import Listener
from delivery.store.control import HALT_CHANNEL
from prometheus_client import CollectorRegistry

from services.delivery.tests.component.senders import until

pytestmark = pytest.mark.stack

World = Any
WAIT_SECONDS_MAX: Final = 10.0
LISTENING: Final = "select exists (select from pg_stat_activity where query ilike 'listen%delivery.halt%')"


@pytest.fixture
async def woken(world: World) -> AsyncIterator[asyncio.Event]:
    """Set by what the listener hears, from now on."""
    stop = asyncio.Event()
    listener = Listener(world.pool, health=Health(registry=CollectorRegistry()))
    event = listener.woken()
    running = asyncio.create_task(listener.run(stop))
    await until(lambda: world.pool.fetchval(LISTENING))
    yield event
    stop.set()
    await running


async def is_set(event: asyncio.Event) -> bool:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await event.wait()
    event.clear()
    return True


async def test_a_pause_is_heard_and_so_is_the_end_of_what_it_waits_for(
    world: World, woken: asyncio.Event, booking: Any
) -> None:
    await world.publish("s")
    await world.contacts("c")
    await world.enroll("c")
    await is_set(woken)
    (row,) = await world.claim()

    await world.pause("s")
    paused = await is_set(woken)
    await world.book(booking(row, "released"))
    ended = await is_set(woken)

    assert (paused, ended) == (True, True)


async def test_a_removal_is_heard_and_so_is_the_end_of_what_it_waits_for(
    world: World, woken: asyncio.Event, sent: Any
) -> None:
    await world.publish("s")
    await world.contacts("c")
    (entered,) = await world.enroll("c")
    await is_set(woken)
    (row,) = await world.claim()

    await world.remove("c", entered)
    removed = await is_set(woken)
    await world.book(sent(row))
    ended = await is_set(woken)

    assert (removed, ended) == (True, True)


async def test_while_nobody_is_stopped_bookings_are_nobody_s_business(world: World, sent: Any) -> None:
    await world.publish("s")
    await world.contacts("c", "d")
    await world.enroll("c", "d")
    booked, _ = await world.claim()
    heard: asyncio.Queue[str] = asyncio.Queue()

    async with session(world.pool) as conn:
        await conn.add_listener(HALT_CHANNEL, lambda _conn, _pid, _channel, payload: heard.put_nowait(payload))
        await world.book(sent(booked), closes=False)
        await world.pool.execute("select pg_notify($1, 'the first of all')", HALT_CHANNEL)
        first = await asyncio.wait_for(heard.get(), WAIT_SECONDS_MAX)

    assert first == "the first of all"
