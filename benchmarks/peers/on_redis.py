"""Celery with an ETA: Redis is its broker and keeps its results, by default as durable as Postgres is here."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from chassis.clock import monotonic, sleep
from devstack.stack import Stack
from rich.console import Console

from benchmarks.figures import Figure
from benchmarks.peers import installed, processes
from benchmarks.peers.peer import Peer, Settings

WORK_SECONDS_MAX: Final = 600.0
READY_SECONDS_MAX: Final = 60.0
WORKER: Final = (
    *("-m", "celery", "-A", "with_celery", "worker", "--loglevel", "ERROR", "-Q", "empty"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)


async def measure(stack: Stack, console: Console, messages: list[bytes], settings: Settings) -> float:
    """Jobs a second, from telling the workers of the full queue to the last result and acknowledgement."""
    python, server = str(installed.python(console)), str(installed.redis(console))
    argv = [python, str(installed.PROGRAMS / "with_celery.py")]
    async with _redis(server, settings["appendfsync"]) as socket:
        env = processes.environment(PEER_SOCKET=socket, PYTHONWARNINGS="ignore")
        await processes.fill([*argv, "fill"], env, messages)
        async with processes.several(_workers(python, settings), env, cwd=installed.PROGRAMS):
            lead = [*argv, "lead", str(len(messages)), str(settings["processes"])]
            async with processes.ready(lead, env) as leader:
                began = monotonic()
                processes.begin(leader)
                await processes.told(leader, "done", seconds_max=WORK_SECONDS_MAX)
                return len(messages) / (monotonic() - began)


@asynccontextmanager
async def _redis(server: str, appendfsync: str) -> AsyncIterator[str]:
    """A server of its own on a socket in a folder of its own; its address. `appendfsync` "off": nothing is on disk."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-redis-"))
    socket = folder / "redis.sock"
    append = ("--appendonly", "no") if appendfsync == "off" else ("--appendonly", "yes", "--appendfsync", appendfsync)
    argv = [server, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", *append]
    try:
        async with processes.started(argv, os.environ, quiet=True):
            async with asyncio.timeout(READY_SECONDS_MAX):
                while not socket.exists():
                    await sleep(0.05)
            yield str(socket)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _workers(python: str, settings: Settings) -> list[list[str]]:
    """Workers that consume a queue in which nothing is."""
    pool = ("--pool", settings["pool"], "--concurrency", str(settings["concurrency"]))
    return [[python, *WORKER, *pool, "-n", f"worker-{number}@%h"] for number in range(settings["processes"])]


CELERY: Final = Peer(
    Figure("R4b", "delivery to a null channel ÷ Celery, ETA, Redis", 5, 20),
    "Celery",
    jobs=20_000,
    settings=(
        {"processes": 2, "pool": "prefork", "concurrency": 1, "appendfsync": "always"},
        {"processes": 2, "pool": "prefork", "concurrency": 2, "appendfsync": "always"},
        {"processes": 1, "pool": "prefork", "concurrency": 2, "appendfsync": "always"},
        {"processes": 2, "pool": "threads", "concurrency": 10, "appendfsync": "always"},
        {"processes": 2, "pool": "threads", "concurrency": 30, "appendfsync": "always"},
        {"processes": 2, "pool": "solo", "concurrency": 1, "appendfsync": "always"},
        {"processes": 2, "pool": "gevent", "concurrency": 10, "appendfsync": "always"},
        {"processes": 2, "pool": "gevent", "concurrency": 100, "appendfsync": "always"},
    ),
    measure=measure,
    found=lambda console: installed.version(installed.redis(console), "--version"),
    asides=({"appendfsync": "off"},),
)
