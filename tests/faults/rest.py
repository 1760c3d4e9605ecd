"""When a run is over: nothing is left to do, nothing waits, nothing has moved. And how full the queues are."""

from collections.abc import Mapping
from typing import Final

import asyncpg
from chassis.clock import monotonic, sleep
from sluice import Sluice
from sluice.transport import Place

from tests.faults.stage import Connection

SCHEMAS: Final = ("sequences", "enrollment", "delivery", "console")
POLL_SECONDS: Final = 0.1
LOOKS: Final = 4
REST_SECONDS_MAX: Final = 75.0

QUEUES: Final = (
    *(f"{schema}.outbox" for schema in SCHEMAS),
    "enrollment.parked",
    "enrollment.parked_command",
    "enrollment.turned_away",
    "enrollment.ended_pause",
    "enrollment.erasure",
    "delivery.pending",
    "delivery.claim",
    "delivery.books_delta",
    "delivery.replan",
    "delivery.sequence_halt",
    "delivery.contact_halt",
    "delivery.erasure",
    "console.erasure",
)
"""Tables whose rows are work to do."""

_WAITING: Final = """
select
    (select count(*) from delivery.pending where sequence_id like $1 || '%') as pending,
    (select count(*) from delivery.claim) as claims,
    (select count(*) from delivery.replan where sequence_id like $1 || '%') as replans,
    (select count(*) from delivery.books_delta) as books,
    (select count(*) from delivery.sequence_halt) + (select count(*) from delivery.contact_halt) as receipts,
    (select count(*) from delivery.erasure) + (select count(*) from enrollment.erasure) as erasures,
    (select count(*) from delivery.scope where status <> 'running' or trial) as suspended,
    (select count(*) from enrollment.parked) + (select count(*) from enrollment.ended_pause) as parked,
    (select count(*) from sequences.sequence where sequence_id like $1 || '%' and status in ('paused', 'deleted')
    ) as stopped
"""
_UNKNOWN_TO_THE_CONSOLE: Final = """
select count(*) from delivery.message m
where m.sequence_id like $1 || '%' and m.outcome = 'sent' and not exists (
    select from console.event e
    where e.enrollment_id = m.enrollment_id::text and e.step_id = m.step_id
        and e.kind in ('sent', 'resolved_sent')
)
"""
_OFFSETS: Final = "select topic, partition, next_offset from {schema}.consumer_offset"


async def until_rest(
    conn: Connection, sluice: Sluice, prefix: str, *, seconds_max: float = REST_SECONDS_MAX
) -> dict[str, int]:
    """Wait until nothing is left of the run of that prefix; what still is where that takes too long."""
    deadline, quiet, before = monotonic() + seconds_max, 0, -1
    while True:
        left, moved = await _left(conn, sluice, prefix)
        quiet = 0 if left or moved != before else quiet + 1
        before = moved
        if quiet >= LOOKS:
            return {}
        if monotonic() > deadline:
            return left or {"offsets that move": 1}
        await sleep(POLL_SECONDS)


async def _left(conn: Connection, sluice: Sluice, prefix: str) -> tuple[dict[str, int], int]:
    row = await conn.fetchrow(_WAITING, prefix)
    left = {what: count for what, count in dict(row or {}).items() if count}
    for schema in SCHEMAS:
        if count := await conn.fetchval(f"select count(*) from {schema}.outbox"):
            left[f"{schema}.outbox"] = count
    if left:
        return left, -1
    read = {
        (schema, row[0], row[1]): row[2]
        for schema in SCHEMAS
        for row in await conn.fetch(_OFFSETS.format(schema=schema))
    }
    ends = await sluice.transport.ends(list({Place(topic, number) for _, topic, number in read}))
    unread = {
        f"unread {schema} {topic}:{number}": ends[Place(topic, number)] - upto
        for (schema, topic, number), upto in read.items()
        if ends[Place(topic, number)] > upto
    }
    return unread, sum(read.values())


async def unknown_to_the_console(conn: Connection, prefix: str) -> int:
    """How many messages were sent that the console does not know of."""
    missing: int = await conn.fetchval(_UNKNOWN_TO_THE_CONSOLE, prefix)
    return missing


async def sizes(conn: Connection) -> Mapping[str, int]:
    """How many rows each queue has."""
    found: dict[str, int] = {}
    for table in QUEUES:
        try:
            found[table] = await conn.fetchval(f"select count(*) from {table}")
        except asyncpg.UndefinedTableError:
            raise AssertionError(f"there is no table {table} any more") from None
    return found
