"""Takes a copy of one service's schema, and puts it back: what a restored backup, or a late standby, leaves behind."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import asyncpg
from chassis.clock import monotonic, sleep, utc_now
from devstack.stack import Stack

_TABLES: Final = """
select c.relname, string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = $1::regnamespace and c.relkind = 'r'
group by c.relname order by c.relname
"""
_SEQUENCES: Final = """
select sequencename as name, last_value as value from pg_sequences where schemaname = '{}' and last_value is not null
"""
_END_SESSIONS: Final = """
select pg_terminate_backend(pid) from pg_stat_activity where usename = $1 and pid <> pg_backend_pid()
"""


async def take(admin_url: str, schema: str) -> None:
    """Copy all rows of a schema, as they are at one moment, into `<schema>_copy`; the service may be at work."""
    async with _connected(admin_url) as admin:
        await admin.execute(f"drop schema if exists {schema}_copy cascade")
        async with admin.transaction(isolation="repeatable_read"):
            await admin.execute(f"create schema {schema}_copy")
            for table, columns in await _tables(admin, schema):
                await admin.execute(f"create table {schema}_copy.{table} as select {columns} from {schema}.{table}")  # noqa: S608
            await admin.execute(f"create table {schema}_copy.sequence_values_ as {_SEQUENCES.format(schema)}")


async def restore(admin_url: str, schema: str) -> None:
    """Put the copy back, and end all sessions of the service: its processes are stopped, or have lost their server."""
    async with _connected(admin_url) as admin:
        await admin.execute(_END_SESSIONS.replace("$1", f"'{schema}_app'"))
        async with admin.transaction():
            await admin.execute("set local session_replication_role = replica")
            here = await _tables(admin, schema)
            await admin.execute("truncate " + ", ".join(f"{schema}.{table}" for table, _ in here))
            kept = dict(await _tables(admin, f"{schema}_copy"))
            for table, columns in here:
                if table in kept:
                    await admin.execute(
                        f"insert into {schema}.{table} ({columns}) overriding system value "  # noqa: S608
                        f"select {columns} from {schema}_copy.{table}"
                    )
            await admin.execute(f"select setval('{schema}.' || name, value) from {schema}_copy.sequence_values_")  # noqa: S608
        await admin.execute(_END_SESSIONS.replace("$1", f"'{schema}_app'"))


async def _tables(admin: "asyncpg.Connection[asyncpg.Record]", schema: str) -> list[tuple[str, str]]:
    return [(row["relname"], row["columns"]) for row in await admin.fetch(_TABLES, schema)]


@asynccontextmanager
async def _connected(admin_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    admin = await asyncpg.connect(admin_url, server_settings={"timezone": "UTC"})
    try:
        yield admin
    finally:
        await admin.close()


def processes_of(stack: Stack, schema: str) -> list[str]:
    """The processes that work on a schema."""
    prefixes = (schema, "sender-") if schema == "delivery" else (schema,)
    return [one.name for one in stack.processes() if one.name.startswith(prefixes)]


async def put_back(stack: Stack, schema: str) -> datetime:
    """Put a service's copy back on a running stack, all at once for everybody else; since when nobody is at work.

    Its processes are frozen, then killed: none of them has a turn between the two databases, and the supervisor starts
    others.
    """
    names = processes_of(stack, schema)
    for name in names:
        stack.kill(name, signal.SIGSTOP)
    since = utc_now()
    await restore(stack.addresses.postgres_admin_url, schema)
    for name in names:
        stack.kill(name, signal.SIGKILL)
    return since


async def until_over(stack: Stack, schema: str, *, seconds_max: float = 90.0) -> None:
    """Wait until the service has noticed, has adopted what it said, and is open again; fails with how far it came."""
    deadline = monotonic() + seconds_max
    async with _connected(stack.addresses.postgres_admin_url) as admin:
        while True:
            found = await admin.fetch(f"select found_at, adopted_at, opened_at from {schema}.put_back")  # noqa: S608
            if found and all(row["opened_at"] for row in found):
                return
            if monotonic() > deadline:
                behind = await admin.fetch(
                    f"select topic, partition, caught_up_at from {schema}.consumer_offset order by caught_up_at"  # noqa: S608
                )
                raise AssertionError(f"{schema} is not open: {[*map(tuple, found)]}, {[*map(tuple, behind)]}")
            await sleep(0.1)
