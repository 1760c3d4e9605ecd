"""R10: contacts enrolled by import, beside a loop that writes the same rows."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import Final

from chassis.clock import monotonic
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice

from benchmarks import raw, workload
from benchmarks.arena import BenchmarkFailed, database, until
from benchmarks.figures import Figure, Measured, Round, in_turns

CONTACTS: Final = 100_000
PROCESSES: Final = 2
SEQUENCE: Final = "bench-import"
READY_SECONDS_MAX: Final = 30.0
PUBLISHED_SECONDS_MAX: Final = 60.0
FIGURES: Final = (Figure("R10", "import, enrolled rows ÷ a loop that writes the same rows", 0.5, 0.8),)

_KNOW: Final = """
insert into enrollment.contact (contact_id, state_version, source_partition, source_offset)
select contact_id, 1, 0, n from unnest($1::text[]) with ordinality as row (contact_id, n)
"""
_RULES: Final = """
insert into enrollment.version (sequence_id, version, rules, conditional, on_reply) values ($1, 1, '{}', false, false)
"""
_PUBLISH: Final = """
insert into enrollment.sequence (sequence_id, state_version, status, epoch, version, follow_version)
values ($1, 1, 'active', 0, 1, 1)
"""
_EMPTY: Final = "truncate enrollment.enrollment, enrollment.outbox, enrollment.inbox"
_HEARD: Final = "select count(*) from enrollment.consumer_offset where topic = 'enrollment.imports'"
# In the order of its index: a table from which so much was deleted is slow to read from its beginning.
_UNPUBLISHED: Final = "select seq from enrollment.outbox order by lane, seq limit 1"


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """In turns; two processes read the commands, decide, write, answer and publish, alone with Kafka and Postgres."""
    ids = workload.contact_ids(CONTACTS)
    measured: list[Round] = []
    knowing: list[Round] = []
    answered: list[float] = []
    await raw.prepare(stack)
    async with database(stack) as conn, Sluice(stack.addresses.kafka) as sluice:
        await conn.execute(_KNOW, ids)
        await conn.execute(_RULES, SEQUENCE)
        await conn.execute(_PUBLISH, SEQUENCE)
        await conn.execute("vacuum analyze enrollment.contact")
        async with _services(stack, conn):
            await _imported(sluice, conn, ids)  # until both have joined the group

            async def ours() -> float:
                await conn.execute(_EMPTY)
                await conn.execute("checkpoint")
                to_the_answer, to_the_end = await _imported(sluice, conn, ids)
                answered.append(CONTACTS / to_the_answer)
                return CONTACTS / to_the_end

            for number in range(rounds):
                one, known = await in_turns(
                    number, ours, lambda: raw.imports(stack, ids), lambda: raw.imports(stack, ids, knowing=True)
                )
                measured.append(one)
                knowing.append(known)
                console.print(
                    f"  R10: {one.ours:,.0f} contacts/s, {answered[-1]:,.0f} to the last answer, "
                    f"the loop {one.other:,.0f}, one that knows beforehand what it will write {known.other:,.0f}"
                )
    settings = {
        "contacts": CONTACTS,
        "a command": workload.CHUNK_CONTACTS,
        "under way": workload.CHUNKS_IN_FLIGHT,
        "processes": PROCESSES,
        "loops": raw.LOOPS,
        "a loop writes at once": raw.IMPORTS_PER_BATCH,
        "contacts a second to the last answer": [round(one) for one in answered],
        "a loop that knows beforehand what it will write": {
            "ratio": round(median(one.value for one in knowing), 3),
            "other": [round(one.other or 0.0) for one in knowing],
        },
    }
    return [Measured(FIGURES[0], measured, "contacts a second", settings)]


async def _imported(sluice: Sluice, conn: Conn, ids: Sequence[str]) -> tuple[float, float]:
    """Seconds from the first command to the last answer, and until all is published; BenchmarkFailed where not all
    have entered.

    Nothing of it is left to do then: it would be done at the expense of the other side.
    """

    async def published() -> bool:
        return await conn.fetchval(_UNPUBLISHED) is None

    started = monotonic()
    entered = await workload.enroll(sluice, SEQUENCE, ids, told=lambda entered: None)
    to_the_answer = monotonic() - started
    await until("all is published", published, seconds_max=PUBLISHED_SECONDS_MAX, poll_seconds=0.01)
    to_the_end = monotonic() - started
    if entered != len(ids):
        raise BenchmarkFailed(f"the answers say that {entered:,} have entered, not {len(ids):,}")
    await raw.complete(conn, "enrollment.enrollment", len(ids))
    return to_the_answer, to_the_end


@asynccontextmanager
async def _services(stack: Stack, conn: Conn) -> AsyncIterator[None]:
    """As many as there are loops; each reads its share of the partitions."""
    env = os.environ | {
        "SLUICE_DATABASE_URL": stack.addresses.urls["enrollment"],
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": stack.addresses.kafka[0],
        "SLUICE_HEALTH_PORT": "0",
        "SLUICE_LOG_LEVEL": "warning",
    }
    argv = (sys.executable, "-m", "enrollment", "run")
    running = [await asyncio.create_subprocess_exec(*argv, env=env) for _ in range(PROCESSES)]
    try:

        async def ready() -> bool:
            return int(await conn.fetchval(_HEARD)) > 0

        await until("enrollment reads its imports", ready, seconds_max=READY_SECONDS_MAX)
        yield
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in running:
            await process.wait()
