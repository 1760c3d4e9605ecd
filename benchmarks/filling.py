"""Many pending sends: by real imports, or by inserting the rows that they would leave, which is faster.

Inserted are the rows of every table that an import of contacts known before would have touched: contacts and
enrollments in enrollment; contacts, the queue and its books in delivery. Nothing of it goes over Kafka.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

from chassis.pool import Conn
from rich.console import Console
from rich.progress import Progress, TaskID
from sluice import Sluice

from benchmarks import counting, workload
from benchmarks.arena import until
from benchmarks.workload import FIRST_STEP, LANE

SECONDS_MAX: Final = 1_800.0
TABLES: Final = (
    "enrollment.contact",
    "enrollment.enrollment",
    "delivery.contact",
    "delivery.pending",
    "delivery.books_delta",
)

_KNOW: Final = """
insert into enrollment.contact (contact_id, state_version, source_partition, source_offset)
select $1 || '-' || n, 1, 0, n from generate_series(1, $2::int) as n
"""
_ENROLL: Final = """
insert into enrollment.enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at)
select $1, $1 || '-' || n, md5($1 || '-' || n)::uuid, 1, n, clock_timestamp() from generate_series(1, $2::int) as n
"""
_KNOW_TOO: Final = """
insert into delivery.contact (contact_id, state_version, source_partition, source_offset, attributes, addresses)
select $1 || '-' || n, 1, 0, n, '{"first_name": "Name"}', '{"email": "name@example.com"}'
from generate_series(1, $2::int) as n
"""
_QUEUE: Final = """
insert into delivery.pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane,
    due_active, base_active, contact_offset)
select md5($1 || '-' || n)::uuid, $1, $1 || '-' || n, 1, 1, $3, $4, now, now, n
from generate_series(1, $2::int) as n, clock_timestamp() as now
"""
_QUEUE_LATER: Final = """
with clock as materialized (
    select clock_timestamp() + make_interval(secs => $5) as first
), queued as (
    insert into delivery.pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane,
        due_active, base_active, contact_offset)
    select md5($1 || '-' || n)::uuid, $1, $1 || '-' || n, 1, 1, $3, $4, first + (n - 1) * make_interval(secs => $6),
        first, n
    from generate_series(1, $2::int) as n, clock
)
select first, first + ($2::int - 1) * make_interval(secs => $6) from clock
"""
_BOOK: Final = "insert into delivery.books_delta (sequence_id, planned, pending) values ($1, $2, $2)"


async def by_insert(conn: Conn, counts: Mapping[str, int], *, console: Console, lane: str = LANE) -> None:
    """Insert the rows of so many entries into each sequence, which is published, as the superuser."""
    console.print("[bold]Filling: the rows are inserted straight into the services' tables[/bold]")
    for sequence_id, count in counts.items():
        for number, statement in enumerate((_KNOW, _ENROLL, _KNOW_TOO), start=1):
            await conn.execute(statement, sequence_id, count)
            console.print(f"  {sequence_id}: {count:,} rows in {TABLES[number - 1]}")
        async with conn.transaction():
            await conn.execute(_QUEUE, sequence_id, count, FIRST_STEP, lane)
            await conn.execute(_BOOK, sequence_id, count)
        console.print(f"  {sequence_id}: {count:,} rows in delivery.pending")


async def trickle(
    conn: Conn, sequence_id: str, count: int, *, every_seconds: float, after_seconds: float
) -> tuple[datetime, datetime]:
    """Insert rows that become due one after the other; when the first and the last of them are."""
    for statement in (_KNOW, _ENROLL, _KNOW_TOO):
        await conn.execute(statement, sequence_id, count)
    async with conn.transaction():
        row = await conn.fetchrow(_QUEUE_LATER, sequence_id, count, FIRST_STEP, LANE, after_seconds, every_seconds)
        await conn.execute(_BOOK, sequence_id, count)
    assert row is not None
    return row[0], row[1]


async def by_import(sluice: Sluice, conn: Conn, counts: Mapping[str, int], *, console: Console) -> None:
    """Announce the contacts and import them, as anyone would; done when delivery has all of them in its queue."""
    console.print("[bold]Filling: contacts and imports over Kafka[/bold]")
    ids = workload.contact_ids(max(counts.values()))
    await workload.write_contacts(sluice, conn, ids, seconds_max=SECONDS_MAX)
    console.print(f"  {len(ids):,} contacts known everywhere")
    for sequence_id, count in counts.items():
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(f"{sequence_id} enrolled", total=count)
            await workload.enroll(sluice, sequence_id, ids[:count], told=partial(_show, progress, task))

    async def planned() -> bool:
        return all([(await counting.books(conn, one))["pending"] >= count for one, count in counts.items()])

    await until("every enrollment is in delivery's queue", planned, seconds_max=SECONDS_MAX, poll_seconds=0.5)


def _show(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


async def settle(conn: Conn) -> None:
    """What a database at rest has behind it: statistics, a vacuum, a checkpoint. It is not part of what is measured."""
    for table in TABLES:
        await conn.execute(f"vacuum analyze {table}")
    await conn.execute("checkpoint")
