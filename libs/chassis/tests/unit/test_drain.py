"""Told to stop, a process finishes what it holds; a loop that fails stops it with exit code 1."""

import asyncio
import os
import signal

import pytest
from chassis.drain import run_until_stopped


async def test_a_signal_lets_every_loop_finish() -> None:
    finished: list[str] = []

    async def first(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        await asyncio.sleep(0.01)
        finished.append("first")

    async def second(stop: asyncio.Event) -> None:
        await stop.wait()
        finished.append("second")

    await run_until_stopped(first, second, drain_seconds_max=5)

    assert sorted(finished) == ["first", "second"]


async def test_a_crash_drains_the_others_and_exits_with_1() -> None:
    finished: list[str] = []

    async def crashing(_: asyncio.Event) -> None:
        raise ValueError("bug")

    async def working(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(0.01)
        finished.append("work")

    with pytest.raises(SystemExit) as exit_:
        await run_until_stopped(crashing, working, drain_seconds_max=5)

    assert exit_.value.code == 1
    assert finished == ["work"]


async def test_a_loop_that_ends_early_exits_with_1() -> None:
    async def ending(_: asyncio.Event) -> None:
        return

    async def working(stop: asyncio.Event) -> None:
        await stop.wait()

    with pytest.raises(SystemExit) as exit_:
        await run_until_stopped(ending, working, drain_seconds_max=5)

    assert exit_.value.code == 1


async def test_a_loop_that_is_not_done_in_time_is_cancelled_and_exits_with_1() -> None:
    cancelled = asyncio.Event()

    async def stubborn(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(SystemExit) as exit_:
        await run_until_stopped(stubborn, drain_seconds_max=0.05)

    assert exit_.value.code == 1
    assert cancelled.is_set()


async def test_a_second_signal_ends_the_waiting() -> None:
    async def stubborn(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        with pytest.raises(SystemExit):
            await run_until_stopped(stubborn, drain_seconds_max=3600)


async def test_the_signals_mean_what_they_did_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def ending(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()

    await run_until_stopped(ending, drain_seconds_max=5)

    assert signal.getsignal(signal.SIGTERM) == before


async def test_cancelling_from_outside_cancels_the_loops() -> None:
    started = asyncio.Event()

    async def working(_: asyncio.Event) -> None:
        started.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(run_until_stopped(working, drain_seconds_max=5))
    await started.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
