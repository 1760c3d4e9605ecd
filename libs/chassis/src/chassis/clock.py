"""The only place where a clock is read or an id is made; everywhere else both are values."""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Final


def utc_now() -> datetime:
    """The wall clock, in UTC. What the database decides on, the database reads itself (`clock_timestamp()`)."""
    return datetime.now(UTC)


monotonic: Final = time.monotonic
"""Seconds on a clock that never goes back; comparable only within this process."""


def wall_milliseconds() -> int:
    """The wall clock in milliseconds, as Kafka's client counts them; for comparing with what it says only."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A fresh random id, in the form of a UUID. What a replay must repeat is derived instead, never made here."""
    return str(uuid.uuid4())


async def sleep(seconds: float) -> None:
    """Wait; cancellation ends the wait."""
    await asyncio.sleep(seconds)


async def sleep_unless(stop: asyncio.Event, seconds: float) -> bool:
    """Wait until `stop` is set or the time is over; True where it is set. The pause of a loop that can be stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return stop.is_set()
    return True
