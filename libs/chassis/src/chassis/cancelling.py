"""Cancellations: those that are meant for who waits, and those that a library lets out."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Abandoned(ConnectionError):
    """What was waited for was cancelled from inside, by nobody here."""


async def contained(work: Awaitable[T]) -> T:
    """Wait for it. CancelledError comes out only where the caller itself is cancelled; else Abandoned.

    aiokafka awaits tasks that it has cancelled, among others where it is stopped, and lets their CancelledError out: it
    would end the task that waits as if somebody had asked for that, without a word.
    """
    try:
        return await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Abandoned from None
