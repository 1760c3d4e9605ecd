"""A database of its own with every service's schema, on a clock that can be moved, empty at the start of a history."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import delivery.settings
import enrollment.settings
import sequences.settings
from chassis.clock import new_id
from chassis.migrate import migrate
from chassis.pool import Pool, create_pool
from chassis.settings import ServiceSettings
from messaging import MIGRATIONS as MESSAGING
from pydantic import SecretStr
from testkit.database import vouched
from testkit.stack import Servers

from tests.pump import clock
from tests.pump.clock import Clock

MIGRATIONS: Final[Mapping[str, Path]] = {
    "sequences": sequences.settings.MIGRATIONS,
    "enrollment": enrollment.settings.MIGRATIONS,
    "delivery": delivery.settings.MIGRATIONS,
}
NOWHERE: Final = ["kafka.invalid:9092"]

_TABLES: Final = """
select c.oid::regclass::text from pg_class c
where c.relnamespace::regnamespace::text = any($1::text[]) and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname <> 'migration'
"""


@dataclass
class Database:
    """The schemas' pools, as their services' own roles; a superuser's connection; the clock."""

    pools: Mapping[str, Pool]
    urls: Mapping[str, str]
    conn: asyncpg.Connection
    clock: Clock
    tables: Sequence[str]

    async def empty(self) -> None:
        """Delete every row: with little in them that is ten times as fast as to truncate."""
        await self.conn.execute("; ".join(f"delete from {table}" for table in self.tables))

    async def rows(self) -> dict[str, int]:
        """How many rows each table holds, those that hold none left out."""
        asked = " union all ".join(f"select '{table}', count(*) from {table}" for table in self.tables)
        return {name: count for name, count in await self.conn.fetch(asked) if count}


@asynccontextmanager
async def database(running: Servers, *, roles: str, connections_max: int = 4) -> AsyncIterator[Database]:
    """Make it, migrate it, and drop it at the end. `roles` is what deploy/postgres/roles.sql says."""
    name = f"sluice_pump_{new_id()[:8]}"
    admin = await asyncpg.connect(running.admin_url)
    try:
        await admin.execute(f"create database {name}")
        await admin.execute(f"alter database {name} set synchronous_commit = off")
        try:
            async with _opened(running, name, roles, connections_max) as made:
                yield made
        finally:
            await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@asynccontextmanager
async def _opened(running: Servers, name: str, roles: str, connections_max: int) -> AsyncIterator[Database]:
    conn = await asyncpg.connect(_in(running.admin_url, name))
    pools: dict[str, Pool] = {}
    try:
        await conn.execute(roles)
        await conn.execute(clock.MAKE)
        for service, migrations in MIGRATIONS.items():
            await migrate(_in(running.migration_urls[service], name), service, [MESSAGING, migrations])
            await conn.execute(clock.IN_SCHEMA.format(schema=service))
        urls = {service: _in(running.urls[service], name) for service in MIGRATIONS}
        for service, url in urls.items():
            settings = ServiceSettings(
                database_url=SecretStr(url), kafka_bootstrap_servers=NOWHERE, database_pool_max=connections_max
            )
            pools[service] = await create_pool(settings, schema=service)
        tables = [row[0] for row in await conn.fetch(_TABLES, list(MIGRATIONS))]
        # Rows are deleted in any order, whatever refers to them.
        await conn.execute("set session_replication_role = replica")
        async with vouched(urls["delivery"], "delivery"):
            yield Database(pools, urls, conn, Clock(conn), tables)
    finally:
        for pool in pools.values():
            await pool.close()
        await conn.close()


def _in(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
