"""R12b: how long after the last send that had left was answered a pause has its receipt."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any, Final

from aiohttp import ClientSession
from chassis.clock import monotonic, sleep
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice

from benchmarks import filling, workload
from benchmarks.arena import BenchmarkFailed, database, scale, until
from benchmarks.figures import Figure, Measured, Round
from benchmarks.loops.process import heard, program

SERVICES: Final = True
ENV: Final[Mapping[str, str]] = {"SLUICE_NULL_CHANNELS": "false"}
SEQUENCE: Final = "bench-receipts"
MESSAGES: Final = 200_000
PAUSES: Final = 100
SEND_SECONDS: Final = 0.05
COMMIT_REST_SECONDS: Final = 0.05
WORK_SECONDS_MAX: Final = 60.0
FIGURES: Final = (Figure("R12b", "receipt above the slowest single send, p99", 25, 10, "less", " ms"),)

_SENT: Final = "select count(*) from delivery.message where sequence_id = $1"
_REDIRECT: Final = "update delivery.pending set lane = 'webhook:' where sequence_id = $1"


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """Pauses amid sends that take 50 ms each; the later of the pause and the last answer to a send is the begin."""
    async with (
        database(stack) as conn,
        Sluice(stack.addresses.kafka) as sluice,
        program("loops.http_receiver", {"delay": SEND_SECONDS}) as receiver,
        ClientSession() as session,
    ):
        url = f"http://127.0.0.1:{(await heard(receiver))['port']}/hook"
        await _publish(sluice, conn, url)
        await filling.by_insert(conn, {SEQUENCE: MESSAGES}, console=console)
        await conn.execute(_REDIRECT, SEQUENCE)
        await scale(stack, 1)
        measured, medians, commits = [], [], list[float]()
        for _ in range(rounds):
            async with _committing(stack, commits):
                waits = [await _pause(sluice, conn, session, url) for _ in range(PAUSES)]
            measured.append(Round(quantiles(waits, n=100, method="inclusive")[98], max(waits)))
            medians.append(median(waits))
            console.print(
                f"  R12b: p99 {measured[-1].value:.1f} ms, most {max(waits):.1f} ms, median {medians[-1]:.1f} ms"
            )
    settings = {
        "pauses a round": PAUSES,
        "a send takes, in seconds": SEND_SECONDS,
        "medians of the rounds, in ms": [round(one, 1) for one in medians],
        "a commit of one row beside it, in ms": {
            "median": round(median(commits), 1),
            "p99": round(quantiles(commits, n=100)[98], 1),
            "most": round(max(commits), 1),
        },
    }
    return [Measured(FIGURES[0], measured, "the longest, in ms", settings)]


@asynccontextmanager
async def _committing(stack: Stack, milliseconds: list[float]) -> AsyncIterator[None]:
    """Somebody who commits a row now and then: a receipt waits for four commits in a row, on the same disk."""

    async def commit() -> None:
        async with database(stack) as conn:
            await conn.execute("create table if not exists public.bench_commit (at timestamptz)")
            while True:
                started = monotonic()
                await conn.execute("insert into public.bench_commit values (now())")
                milliseconds.append((monotonic() - started) * 1_000)
                await sleep(COMMIT_REST_SECONDS)

    task = asyncio.create_task(commit())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _publish(sluice: Sluice, conn: Conn, url: str) -> None:
    message: dict[str, Any] = {"channel": "webhook", "url": url, "json": {"contact": "{{ contact.id }}"}}
    step = {"step_id": workload.FIRST_STEP, "after": "0s", "message": message}
    await workload.publish(sluice, conn, SEQUENCE, {"name": "Benchmark", "steps": [step]})


async def _pause(sluice: Sluice, conn: Conn, session: ClientSession, url: str) -> float:
    """Milliseconds from the later of the two to `halted_at`, amid sending."""
    before = int(await conn.fetchval(_SENT, SEQUENCE))

    async def sends() -> bool:
        return int(await conn.fetchval(_SENT, SEQUENCE)) > before

    await until("the sender is at work", sends, seconds_max=WORK_SECONDS_MAX, poll_seconds=0.01)
    stopped = await sluice.pause(SEQUENCE, wait="stopped")
    state = stopped.state
    assert state is not None
    assert state.receipts is not None
    assert state.paused_at is not None
    await sleep(SEND_SECONDS)  # a send that the receipt should have waited for is answered by now
    async with session.get(url) as answer:
        last = datetime.fromtimestamp(float(await answer.text()), UTC)
    await sluice.resume(SEQUENCE, wait="resumed")
    return waited(state.receipts.halted_at, max(last, state.paused_at))


def waited(halted_at: datetime, begin: datetime) -> float:
    """Milliseconds from the later of pause and last answer to the receipt; BenchmarkFailed where that is before it.

    The database, which says when it was paused and halted, and the receiver read the clock of the same machine.
    """
    if halted_at < begin:
        raise BenchmarkFailed(f"a receipt is not true: halted at {halted_at}, paused or answered at {begin}")
    return (halted_at - begin) / timedelta(milliseconds=1)
