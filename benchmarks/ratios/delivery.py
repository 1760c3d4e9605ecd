"""R1: what sender processes send to a null channel, with everything kept, beside a loop that writes the same rows."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import orjson
from chassis.clock import sleep, utc_now
from chassis.pool import Conn
from delivery.store.control import CONTROL_TOPICS
from devstack.stack import Stack
from rich.console import Console

from benchmarks import machine, raw, workload
from benchmarks.arena import database, until
from benchmarks.figures import Figure, Measured, Round, ratio

MESSAGES: Final = 100_000
SENDERS: Final = 2
SEQUENCE: Final = "bench-delivery"
BEAT_SECONDS: Final = 0.2
WORK_SECONDS_MAX: Final = 300.0

FIGURE: Final = Figure("R1", "delivery to a null channel ÷ a loop that writes the same rows", 0.75, 1.0)

_HEARD: Final = """
insert into delivery.consumer_offset (topic, partition, partitions, next_offset)
select topic, 0, 1, 0 from unnest($1::text[]) as topic
"""
_BEAT: Final = "update delivery.consumer_offset set beat = beat + 1, caught_up_at = clock_timestamp()"

_PUBLISH: Final = """
with published as (
    insert into delivery.definition (sequence_id, version, definition) values ($1, 1, $2)
)
insert into delivery.gate (sequence_id, state_version, status, open, epoch, version, follow_version, change)
values ($1, 1, 'active', false, 1, 1, 1, nextval('delivery.gate_change'))
"""
_TURN: Final = """
update delivery.gate set open = $2, change = nextval('delivery.gate_change') where sequence_id = $1
returning clock_timestamp()
"""
_KNOW: Final = """
insert into delivery.contact (contact_id, state_version, source_partition, source_offset, attributes, addresses)
select contact_id, 1, 0, n, jsonb_build_object('first_name', 'Name ' || n, 'status', 'New'),
    jsonb_build_object('email', contact_id || '@example.com')
from unnest($1::text[]) with ordinality as row (contact_id, n)
"""
_EMPTY: Final = "truncate delivery.pending, delivery.message, delivery.outbox, delivery.books_delta"
_SENT: Final = "select coalesce(sum(sent), 0) from delivery.books_delta"
_LAST: Final = "select max(ended_at) from delivery.message"


async def measure(stack: Stack, console: Console, rounds: int) -> Measured:
    """In turns, each in the same number of messages; the queue is filled and vacuumed before each."""
    measured: list[Round] = []
    rows = await asyncio.to_thread(raw.prepared, workload.contact_ids(MESSAGES))
    async with database(stack) as conn:
        await raw.prepare(stack)
        await _publish(conn, [row.contact_id for row in rows])
        beats = asyncio.create_task(_beat(stack))
        try:
            for _ in range(rounds):
                other = MESSAGES / await raw.sends(stack, rows)
                ours = await _sends(stack, conn, rows)
                measured.append(ratio(ours, other))
                console.print(f"  {ours:,.0f} messages/s, the loop {other:,.0f}: {ours / other:.2f}")
        finally:
            beats.cancel()
        about = await machine.described(conn)
    settings = {"messages": MESSAGES, "sender processes": SENDERS, "loops": raw.LOOPS, "batch": raw.SENDS_PER_BATCH}
    return Measured(FIGURE, measured, "messages a second", about, settings)


async def _publish(conn: Conn, contacts: list[str]) -> None:
    await conn.execute(_HEARD, CONTROL_TOPICS)
    await conn.execute(_PUBLISH, SEQUENCE, orjson.dumps(workload.DEFINITION).decode())
    await conn.execute(_KNOW, contacts)
    await conn.execute("vacuum analyze delivery.contact")


async def _sends(stack: Stack, conn: Conn, rows: list[raw.Prepared]) -> float:
    """Messages a second, from the gate's opening to the last that is booked, by the database's clock."""
    await conn.execute(_EMPTY)
    ids = [row.enrollment_id for row in rows], [row.contact_id for row in rows]
    await conn.execute(raw.FILL_PENDING, *ids, SEQUENCE, workload.FIRST_STEP, workload.LANE, utc_now())
    await conn.execute("vacuum analyze delivery.pending")
    async with _senders(stack, conn):
        opened: datetime = await conn.fetchval(_TURN, SEQUENCE, True)
        await conn.execute("select pg_notify('delivery.gate', '')")

        async def all_sent() -> bool:
            return int(await conn.fetchval(_SENT)) >= len(rows)

        await until("every message is sent", all_sent, seconds_max=WORK_SECONDS_MAX)
        last: datetime = await conn.fetchval(_LAST)
        await conn.execute(_TURN, SEQUENCE, False)
    return len(rows) / (last - opened).total_seconds()


@asynccontextmanager
async def _senders(stack: Stack, conn: Conn) -> AsyncIterator[None]:
    """Sender processes that wait for the gate to open."""
    env = os.environ | {
        "SLUICE_DATABASE_URL": stack.addresses.urls["delivery"],
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": stack.addresses.kafka[0],
        "SLUICE_NULL_CHANNELS": "true",
        "SLUICE_HEALTH_PORT": "0",
        "SLUICE_LOG_LEVEL": "warning",
    }
    argv = (sys.executable, "-m", "delivery", "send")
    running = [await asyncio.create_subprocess_exec(*argv, env=env) for _ in range(SENDERS)]
    try:

        async def serving() -> bool:
            return int(await conn.fetchval("select count(*) from delivery.lane_server")) >= 3 * SENDERS

        await until("the senders are ready", serving, seconds_max=30)
        await sleep(1.0)
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            await process.wait()


async def _beat(stack: Stack) -> None:
    """In place of the readers of the control topics, whom nobody here tells anything."""
    async with database(stack) as conn:
        while True:
            await conn.execute(_BEAT)
            await sleep(BEAT_SECONDS)
