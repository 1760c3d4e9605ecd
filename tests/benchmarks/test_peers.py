"""A peer begins when the clock starts, and not later: by then it is up and has asked for work."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest
from devstack.stack import Stack
from rich.console import Console
from testkit.stack import Servers

from benchmarks.arena import BenchmarkFailed, admin_url
from benchmarks.peers import processes
from benchmarks.peers.on_postgres import DATABASE, Queue

JOBS = [b"%d" % number for number in range(50)]
PROCESSES = 2
PEER = """
import asyncio, os, sys
import asyncpg

async def main():
    conn = await asyncpg.connect(os.environ["PEER_URL"])
    if sys.argv[1] == "fill":
        await conn.execute("create table job (n int, at timestamptz); create table asked (at timestamptz)")
        await conn.copy_records_to_table("job", records=[(int(line), None) for line in sys.stdin])
        return
    await conn.execute("insert into asked values (clock_timestamp())")
    while True:
        await conn.execute(
            "update job set at = clock_timestamp() where n = any(array("
            "select n from job where at is null limit 10 for update skip locked))"
        )
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


@pytest.fixture
async def stack(running: Servers, admin: asyncpg.Connection) -> AsyncIterator[Stack]:
    """What a peer needs of a stack: where Postgres is."""
    yield cast("Stack", SimpleNamespace(addresses=SimpleNamespace(postgres_admin_url=running.admin_url)))
    await admin.execute(f"drop database if exists {DATABASE} with (force)")


@pytest.mark.stack
async def test_every_process_of_a_peer_has_asked_before_the_first_job_can_be_had(tmp_path: Path, stack: Stack) -> None:
    program = tmp_path / "peer.py"
    program.write_text(PEER)
    settings: dict[str, Any] = {"processes": PROCESSES}
    queue = Queue(
        lambda _: [sys.executable, str(program)],
        "job",
        "select count(*) from job where at is not null",
        "select max(at) from job",
    )

    rate = await queue.measure(stack, Console(), JOBS, settings)

    conn = await asyncpg.connect(admin_url(stack, DATABASE))
    [found] = await conn.fetch("select count(*), max(asked.at), (select min(at) from job) from asked")
    await conn.close()
    asked, last, first = found
    assert asked == PROCESSES
    assert first - last >= timedelta(seconds=1)
    assert rate > len(JOBS)


async def test_a_worker_that_ends_by_itself_fails_its_peer() -> None:
    with pytest.raises(BenchmarkFailed, match=r"1 of a peer's 1 workers ended at work"):
        async with processes.several([[sys.executable, "-c", "pass"]], {}) as workers:
            await workers[0].wait()
