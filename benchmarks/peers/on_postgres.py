"""The peers whose queue is in Postgres: in a database of their own on the stack's server, made anew for each round."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from chassis.clock import sleep
from devstack.stack import Stack
from rich.console import Console

from benchmarks.arena import admin_url, database, until
from benchmarks.figures import Figure
from benchmarks.peers import installed, processes
from benchmarks.peers.peer import Peer, Settings

DATABASE: Final = "peer"
WORK_SECONDS_MAX: Final = 600.0
POLL_SECONDS: Final = 0.5
"""Seldom: counting is work for the server too. When the last was finished stands in the peer's own rows."""
READY_SECONDS_MAX: Final = 60.0
_ASKING: Final = "select count(distinct pid) from pg_locks where relation = $1::regclass and not granted"


@dataclass(frozen=True, slots=True)
class Queue:
    """Its program, the table of its jobs, and where it keeps what is finished.

    A lock on that table is to a peer what a closed gate is to our senders: its processes are up, have asked for jobs,
    and wait.
    """

    program: Callable[[Console], list[str]]
    jobs: str
    finished: str
    last: str

    async def measure(self, stack: Stack, console: Console, messages: list[bytes], settings: Settings) -> float:
        argv = self.program(console)
        async with database(stack, "postgres") as conn:
            await conn.execute(f"drop database if exists {DATABASE} with (force)")
            await conn.execute(f"create database {DATABASE}")
        env = processes.environment(PEER_URL=admin_url(stack, DATABASE))
        await processes.fill([*argv, "fill"], env, messages)
        async with database(stack, DATABASE) as conn:
            await conn.execute("vacuum analyze")
            await conn.execute("checkpoint")
            work = [*argv, "work", orjson.dumps(settings).decode()]
            gate = conn.transaction()
            await gate.start()
            await conn.execute(f"lock table {self.jobs} in access exclusive mode")
            asking: int = settings["processes"] * settings.get("managers", 1)
            async with processes.several([work] * settings["processes"], env):

                async def all_ask() -> bool:
                    return int(await conn.fetchval(_ASKING, self.jobs)) >= asking

                await until("a peer's processes ask for jobs", all_ask, seconds_max=READY_SECONDS_MAX)
                await sleep(1.0)  # as our senders are waited for
                began: datetime = await conn.fetchval("select clock_timestamp()")
                await gate.commit()

                async def all_finished() -> bool:
                    return int(await conn.fetchval(self.finished)) >= len(messages)

                await until(
                    "every job is finished", all_finished, seconds_max=WORK_SECONDS_MAX, poll_seconds=POLL_SECONDS
                )
                last: datetime = await conn.fetchval(self.last)
        return len(messages) / (last - began).total_seconds()


def _python(name: str) -> Callable[[Console], list[str]]:
    return lambda console: [str(installed.python(console)), str(installed.PROGRAMS / name)]


def _river(console: Console) -> list[str]:
    return [str(installed.river(console))]


PGQUEUER: Final = Peer(
    Figure("R2", "delivery to a null channel ÷ PGQueuer, batch 100", 1.5, 3),
    "PGQueuer",
    jobs=100_000,
    settings=(
        {"processes": 2, "managers": 1, "batch": 100},
        {"processes": 2, "managers": 2, "batch": 100},
        {"processes": 2, "managers": 5, "batch": 100},
        {"processes": 2, "managers": 10, "batch": 100},
        {"processes": 1, "managers": 1, "batch": 100},
        {"processes": 1, "managers": 2, "batch": 100},
        {"processes": 3, "managers": 1, "batch": 100},
        {"processes": 4, "managers": 1, "batch": 100},
    ),
    measure=Queue(
        _python("with_pgqueuer.py"),
        "pgqueuer",
        "select count(*) from pgqueuer_log where status = 'successful'",
        "select max(created) from pgqueuer_log where status = 'successful'",
    ).measure,
    asides=({"batch": 250}, {"batch": 500}),
)

PROCRASTINATE: Final = Peer(
    Figure("R3", "delivery to a null channel ÷ Procrastinate", 50, 100),
    "Procrastinate",
    jobs=5_000,
    settings=(
        {"processes": 2, "concurrency": 10, "connections": 10},
        {"processes": 2, "concurrency": 1, "connections": 2},
        {"processes": 2, "concurrency": 30, "connections": 10},
        {"processes": 2, "concurrency": 100, "connections": 20},
        {"processes": 2, "concurrency": 300, "connections": 20},
        {"processes": 1, "concurrency": 10, "connections": 10},
        {"processes": 3, "concurrency": 10, "connections": 10},
        {"processes": 4, "concurrency": 10, "connections": 10},
    ),
    measure=Queue(
        _python("with_procrastinate.py"),
        "procrastinate_jobs",
        "select count(*) from procrastinate_jobs where status = 'succeeded'",
        "select max(at) from procrastinate_events where type = 'succeeded'",
    ).measure,
)

RIVER: Final = Peer(
    Figure("R4", "delivery to a null channel ÷ River", 2, 10),
    "River",
    jobs=100_000,
    settings=(
        {"processes": 2, "workers": 1_000, "cooldown_ms": 1, "connections": 10},
        {"processes": 2, "workers": 100, "cooldown_ms": 1, "connections": 10},
        {"processes": 2, "workers": 5_000, "cooldown_ms": 1, "connections": 10},
        {"processes": 2, "workers": 10_000, "cooldown_ms": 1, "connections": 10},
        {"processes": 2, "workers": 10_000, "cooldown_ms": 1, "connections": 20},
        {"processes": 2, "workers": 10_000, "cooldown_ms": 1, "connections": 40},
        {"processes": 2, "workers": 1_000, "cooldown_ms": 100, "connections": 10},
        {"processes": 1, "workers": 1_000, "cooldown_ms": 1, "connections": 10},
        {"processes": 1, "workers": 5_000, "cooldown_ms": 1, "connections": 10},
    ),
    measure=Queue(
        _river,
        "river_job",
        "select count(*) from river_job where state = 'completed'",
        "select max(finalized_at) from river_job where state = 'completed'",
    ).measure,
    found=lambda _: installed.version(installed.go(), "version"),
)
