"""Run the loops of a process until it is told to stop, then let them finish what they hold."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final

import structlog

__all__ = ["Loop", "run_until_stopped"]

log = structlog.get_logger(__name__)

GARBAGE_OBJECTS: Final = 50_000
"""So many new objects before cycles are looked for. Python's 700 are a fraction of a batch, whose rows live on to its
end and are no cycles: a sender spent a tenth of its time in looking at them again and again."""

Loop = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then finishes or gives back what it holds, and returns."""


async def run_until_stopped(*loops: Loop, drain_seconds_max: float) -> None:
    """Run all loops until SIGTERM or SIGINT; then they have `drain_seconds_max` seconds to end by themselves.

    A loop that raises, or that ends before it was told to, stops the process: the others are drained, and
    `SystemExit(1)` is raised, for the supervisor to start it anew. So does a loop that is not done in time. A second
    signal ends the waiting at once.
    """
    gc.freeze()  # what was imported stays
    gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])
    stop, hurry = asyncio.Event(), asyncio.Event()
    failed: list[str] = []
    with ExitStack() as handlers:
        _listen(handlers, stop, hurry)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_guard(loop, stop=stop, failed=failed), name=getattr(loop, "__qualname__", "loop"))
                for loop in loops
            ]
            await stop.wait()
            await _drain(tasks, hurry, failed, drain_seconds_max=drain_seconds_max)
    if failed:
        raise SystemExit(1)


def _listen(handlers: ExitStack, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    running = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        log.info("stop_asked", signal=number.name)
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, told, number)
        handlers.callback(running.remove_signal_handler, number)


async def _guard(loop: Loop, *, stop: asyncio.Event, failed: list[str]) -> None:
    """Keep one loop's crash from cutting the others off amid their work."""
    name = getattr(loop, "__qualname__", "loop")
    try:
        await loop(stop)
        if not stop.is_set():
            failed.append(name)
            log.error("loop_ended_early", loop=name)
    except Exception:
        failed.append(name)
        log.exception("loop_crashed", loop=name)
    finally:
        stop.set()


async def _drain(
    tasks: list[asyncio.Task[None]], hurry: asyncio.Event, failed: list[str], *, drain_seconds_max: float
) -> None:
    hurried = asyncio.create_task(hurry.wait())
    try:
        pending: set[asyncio.Task[None]] = set(tasks)
        async with asyncio.timeout(drain_seconds_max):
            while pending and not hurried.done():
                _, waiting = await asyncio.wait([*pending, hurried], return_when=asyncio.FIRST_COMPLETED)
                pending &= waiting
    except TimeoutError:
        pending = {task for task in tasks if not task.done()}
    finally:
        hurried.cancel()
    for task in pending:
        failed.append(task.get_name())
        log.error("loop_not_drained", loop=task.get_name(), seconds=drain_seconds_max)
        task.cancel()
