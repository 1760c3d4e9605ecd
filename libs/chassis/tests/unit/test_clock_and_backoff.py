"""Waits grow, are bounded, and end when they are told to; the clock speaks UTC."""

import asyncio
import uuid
from datetime import timedelta
from itertools import islice

import pytest
from chassis import backoff, clock


def test_waits_double_up_to_the_cap_and_lose_at_most_half_to_jitter() -> None:
    ceilings = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]

    waits = list(islice(backoff.delays(0.1, 1.0), len(ceilings)))

    assert all(ceiling / 2 <= wait <= ceiling + 1e-9 for wait, ceiling in zip(waits, ceilings, strict=True)), waits


def test_two_processes_do_not_wait_in_step() -> None:
    one, other = (list(islice(backoff.delays(1.0, 60.0), 5)) for _ in range(2))

    assert one != other


def test_waits_stay_at_the_cap_however_long_an_outage_lasts() -> None:
    late = list(islice(backoff.delays(1.0, 30.0), 2000))[-1]

    assert 15.0 <= late <= 30.0


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_waits_without_a_sensible_bound_are_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="base"):
        next(backoff.delays(base, cap))


def test_the_wall_clock_is_in_utc() -> None:
    assert clock.utc_now().utcoffset() == timedelta(0)


def test_each_new_id_is_another_uuid() -> None:
    ids = {clock.new_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(str(uuid.UUID(each)) == each for each in ids)


async def test_a_pause_ends_as_soon_as_the_loop_is_told_to_stop() -> None:
    stop = asyncio.Event()
    pause = asyncio.create_task(clock.sleep_unless(stop, 3600.0))
    await asyncio.sleep(0)

    stop.set()

    assert await asyncio.wait_for(pause, 5) is True


async def test_a_pause_ends_by_itself_when_nothing_happens() -> None:
    assert await clock.sleep_unless(asyncio.Event(), 0.001) is False
