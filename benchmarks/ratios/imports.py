"""R10: contacts enrolled by import, beside a loop that writes the same rows."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from chassis.clock import monotonic
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice

from benchmarks import machine, raw, workload
from benchmarks.arena import database, until
from benchmarks.figures import Figure, Measured, Round, ratio

CONTACTS: Final = 100_000
SEQUENCE: Final = "bench-import"
READY_SECONDS_MAX: Final = 30.0
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


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """In turns; the service reads the commands, decides, writes and publishes, alone with Kafka and Postgres."""
    ids = workload.contact_ids(CONTACTS)
    rows = await asyncio.to_thread(raw.prepared, ids)
    measured: list[Round] = []
    await raw.prepare(stack)
    async with database(stack) as conn, Sluice(stack.addresses.kafka) as sluice:
        await conn.execute(_KNOW, ids)
        await conn.execute(_RULES, SEQUENCE)
        await conn.execute(_PUBLISH, SEQUENCE)
        await conn.execute("vacuum analyze enrollment.contact")
        async with _service(stack, conn):
            for _ in range(rounds):
                other = CONTACTS / await raw.imports(stack, rows)
                await conn.execute(_EMPTY)
                started = monotonic()
                await workload.enroll(sluice, SEQUENCE, ids, told=lambda entered: None)
                measured.append(ratio(CONTACTS / (monotonic() - started), other))
                console.print(f"  R10: {measured[-1].ours:,.0f} contacts/s, the loop {other:,.0f}")
        about = await machine.described(conn)
    settings = {"contacts": CONTACTS, "a command": workload.CHUNK_CONTACTS, "under way": workload.CHUNKS_IN_FLIGHT}
    return [Measured(FIGURES[0], measured, "contacts a second", about, settings)]


@asynccontextmanager
async def _service(stack: Stack, conn: Conn) -> AsyncIterator[None]:
    env = os.environ | {
        "SLUICE_DATABASE_URL": stack.addresses.urls["enrollment"],
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": stack.addresses.kafka[0],
        "SLUICE_HEALTH_PORT": "0",
        "SLUICE_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "enrollment", "run", env=env)
    try:

        async def ready() -> bool:
            return int(await conn.fetchval(_HEARD)) > 0

        await until("enrollment reads its imports", ready, seconds_max=READY_SECONDS_MAX)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
