"""`make demo ARGS=--kill`: kill -9 of each process in turn while the story goes on."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

from chassis.clock import monotonic, sleep
from devstack.stack import Stack

from testkit.demo.observer import TooLate

VICTIMS: Final = (
    "sender-1",
    "delivery-plan",
    "kafka",
    "sequences",
    "enrollment",
    "postgres",
    "delivery-receive",
    "sink",
    "sender-1",
    "delivery-plan",
)
"""Senders and the planner twice: what they hold is the most delicate."""
BACK_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.1


async def kill_each(stack: Stack, *, tell: Callable[[str], None], progressed: Callable[[], int]) -> list[str]:
    """Kill one after the other, each when the one before is back and something was sent since; who was killed."""
    killed: list[str] = []
    for name in VICTIMS:
        before = progressed()
        pid = stack.kill(name, signal.SIGKILL).pid
        killed.append(name)
        began = monotonic()
        await _until_back(stack, name, pid)
        tell(f"[dim]kill -9 {name} (pid {pid}); it was back after {monotonic() - began:.1f} s[/dim]")
        await _until_some(progressed, before)
    return killed


async def _until_back(stack: Stack, name: str, pid: int) -> None:
    deadline = monotonic() + BACK_SECONDS_MAX
    while True:
        found = await asyncio.to_thread(stack.processes)
        if any(one.name == name and one.state == "ready" and one.pid != pid for one in found):
            return
        if monotonic() > deadline:
            raise TooLate(f"{name} was killed and is not back after {BACK_SECONDS_MAX:.0f} s")
        await sleep(POLL_SECONDS)


async def _until_some(progressed: Callable[[], int], before: int) -> None:
    """Until something was sent again. A paused sequence sends nothing, so the wait has an end."""
    deadline = monotonic() + 3.0
    while progressed() <= before and monotonic() < deadline:
        await sleep(POLL_SECONDS)
