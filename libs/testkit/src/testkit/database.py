"""A service's schema for a test: migrated once, empty each time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from chassis.migrate import migrate
from chassis.pool import Pool, create_pool
from chassis.settings import ServiceSettings
from messaging import opening
from messaging.opening import Level
from pydantic import SecretStr

from testkit.stack import Servers

_TABLES = """
select c.oid::regclass::text from pg_class c
where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname <> 'migration'
"""


def sluice_url(url: str) -> str:
    """The same server and role, in the database `sluice`."""
    return urlunsplit(urlsplit(url)._replace(path="/sluice"))


def settings(running: Servers, service: str) -> ServiceSettings:
    """A service's settings against these servers."""
    return ServiceSettings(
        database_url=SecretStr(running.urls[service]),
        kafka_bootstrap_servers=running.kafka,
    )


@asynccontextmanager
async def fresh_schema(running: Servers, service: str, *migrations: Path) -> AsyncIterator[Pool]:
    """The service's pool, as its runtime role, on its migrated schema with every table empty."""
    owner = running.migration_urls[service]
    await migrate(owner, service, list(migrations))
    conn = await asyncpg.connect(owner, server_settings={"search_path": service})
    try:
        await _empty(conn, [row[0] for row in await conn.fetch(_TABLES, service)])
    finally:
        await conn.close()
    pool = await create_pool(settings(running, service), schema=service)
    try:
        yield pool
    finally:
        await pool.close()


async def _empty(conn: asyncpg.Connection, tables: Sequence[str]) -> None:
    """Truncate what holds a row: most tables hold none, and a truncate writes new files."""
    asked = " union all ".join(f"select '{table}' where exists (select from {table})" for table in tables)  # noqa: S608
    filled = [row[0] for row in await conn.fetch(asked)] if tables else []
    if filled:
        await conn.execute(f"truncate {', '.join(filled)} cascade")


@asynccontextmanager
async def vouched(url: str, schema: str) -> AsyncIterator[None]:
    """A session that vouches for a schema, as the lookout of a running service does."""
    conn = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        for level in Level:
            await opening.hold(conn, level)
        yield
    finally:
        await conn.close()
