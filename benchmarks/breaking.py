"""Five things that break under load: senders killed or frozen, Postgres or Kafka restarted, connections cut.

BenchmarkFailed where one strikes nobody: what is measured then would show nothing.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from chassis.clock import monotonic, sleep, utc_now
from devstack.errors import StackError
from devstack.stack import Stack
from testkit.breaking import LEASE_SECONDS, end_sessions

from benchmarks.arena import BenchmarkFailed, database

SENDERS: Final = ("sender-1", "sender-2")
FROZEN_SECONDS: Final = LEASE_SECONDS + 2.0
"""Longer than a lease, shorter than a supervisor's patience."""
READY_SECONDS_MAX: Final = 120.0
REST_SECONDS: Final = 1.0


class Frozen(NamedTuple):
    """Processes that stood still, all of them, and when they were let go, in seconds of the machine's clock."""

    pids: frozenset[int]
    until: float


Fault: TypeAlias = Callable[[Stack], Awaitable[Frozen | None]]


async def kill_senders(stack: Stack) -> None:
    """kill -9 of all."""
    await asyncio.gather(*(_signal(stack, name, signal.SIGKILL) for name in SENDERS))


async def freeze_senders(stack: Stack) -> Frozen:
    """SIGSTOP of all, beyond their leases, and SIGCONT; whom it hit."""
    hit = await asyncio.gather(*(_signal(stack, name, signal.SIGSTOP) for name in SENDERS))
    await sleep(FROZEN_SECONDS)
    until = utc_now().timestamp()
    await asyncio.gather(*(_signal(stack, name, signal.SIGCONT) for name in SENDERS))
    return Frozen(frozenset(hit), until)


async def restart_postgres(stack: Stack) -> None:
    """A fast shutdown, and back."""
    await _signal(stack, "postgres", signal.SIGINT)
    await sleep(REST_SECONDS)


async def restart_kafka(stack: Stack) -> None:
    """Stopped in order, and back."""
    await _signal(stack, "kafka", signal.SIGTERM)
    await sleep(REST_SECONDS)


async def cut_connections(stack: Stack) -> None:
    """Every session of a service with the database is ended."""
    async with database(stack) as conn:
        if not await end_sessions(conn):
            raise BenchmarkFailed("no service had a session with Postgres that could be ended")


SCENES: Final[Mapping[str, Fault]] = {
    "kill -9 of the senders": kill_senders,
    "Postgres restarted": restart_postgres,
    "Kafka restarted": restart_kafka,
    "senders frozen beyond their leases": freeze_senders,
    "connections to Postgres cut": cut_connections,
}


async def ready(stack: Stack) -> None:
    """Wait until every process is there again."""
    deadline = monotonic() + READY_SECONDS_MAX
    while left := [one.name for one in await asyncio.to_thread(stack.processes) if one.state != "ready"]:
        if monotonic() > deadline:
            raise BenchmarkFailed(f"not ready again within {READY_SECONDS_MAX:.0f} s: {', '.join(left)}")
        await sleep(0.1)


async def _signal(stack: Stack, name: str, number: int) -> int:
    """Whom it hit."""
    try:
        return (await asyncio.to_thread(stack.kill, name, number)).pid
    except StackError:
        raise BenchmarkFailed(f"{name} was not there to be struck") from None
