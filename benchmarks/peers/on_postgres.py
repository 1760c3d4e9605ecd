"""The peers whose queue is in Postgres: in a database of their own on the stack's server, made anew for each round."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
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


@dataclass(frozen=True, slots=True)
class Queue:
    """Its program, and where it keeps what is finished."""

    program: Callable[[Console], list[str]]
    finished: str
    last: str

    async def measure(self, stack: Stack, console: Console, messages: list[bytes], settings: Settings) -> float:
        argv = self.program(console)
        async with database(stack, "postgres") as conn:
            await conn.execute(f"drop database if exists {DATABASE} with (force)")
            await conn.execute(f"create database {DATABASE}")
        env = os.environ | {"PEER_URL": admin_url(stack, DATABASE)}
        await processes.fill([*argv, "fill"], env, messages)
        async with database(stack, DATABASE) as conn:
            await conn.execute("vacuum analyze")
            await conn.execute("checkpoint")
            work = [*argv, "work", orjson.dumps(settings).decode()]
            async with processes.ready(work, env, settings["processes"]) as running:
                began: datetime = await conn.fetchval("select clock_timestamp()")
                for process in running:
                    processes.begin(process)

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
    ),
    measure=Queue(
        _python("with_pgqueuer.py"),
        "select count(*) from pgqueuer_log where status = 'successful'",
        "select max(created) from pgqueuer_log where status = 'successful'",
    ).measure,
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
    ),
    measure=Queue(
        _python("with_procrastinate.py"),
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
        {"processes": 2, "workers": 1_000, "cooldown_ms": 100, "connections": 10},
        {"processes": 1, "workers": 1_000, "cooldown_ms": 1, "connections": 10},
        {"processes": 1, "workers": 5_000, "cooldown_ms": 1, "connections": 10},
    ),
    measure=Queue(
        _river,
        "select count(*) from river_job where state = 'completed'",
        "select max(finalized_at) from river_job where state = 'completed'",
    ).measure,
)
