"""Who waits for a library is not ended by what the library has cancelled."""

import asyncio

import pytest
from chassis.cancelling import Abandoned, contained


async def of_a_task_that_it_cancels() -> None:
    """As aiokafka does where it is stopped."""
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def test_what_comes_of_it_comes_out() -> None:
    async def seven() -> int:
        return 7

    assert await contained(seven()) == 7


async def test_a_cancellation_from_inside_is_an_error_and_the_caller_goes_on() -> None:
    with pytest.raises(Abandoned):
        await contained(of_a_task_that_it_cancels())
    await asyncio.sleep(0)


async def test_a_caller_that_is_cancelled_ends() -> None:
    waiting = asyncio.create_task(contained(asyncio.sleep(60)))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_time_out_around_it_is_a_time_out() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await contained(asyncio.sleep(60))
