"""The database's clock of every service, set forward by days in no time.

A service reads the time where its rows are: `clock_timestamp()`. Its schema comes first in the search path, so a
function of that name there is what its statements call. Nothing in the services knows of it.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_TABLE: Final = """
create schema if not exists test_clock;
create table if not exists test_clock.shift (ahead interval not null);
delete from test_clock.shift;
insert into test_clock.shift values ('0');
grant usage on schema test_clock to public;
grant select on test_clock.shift to public;
"""

_FUNCTION: Final = """
create or replace function {schema}.clock_timestamp() returns timestamptz language sql volatile as
$$ select pg_catalog.clock_timestamp() + (select ahead from test_clock.shift) $$
"""

_NOW: Final = "select pg_catalog.clock_timestamp() + ahead from test_clock.shift"
_SET: Final = "update test_clock.shift set ahead = $1 - pg_catalog.clock_timestamp()"


async def install(conn: Connection, schemas: Sequence[str]) -> None:
    """Give these schemas a clock that can be set; before their services connect, for a prepared statement stays."""
    await conn.execute(_TABLE)
    for schema in schemas:
        await conn.execute(_FUNCTION.format(schema=schema))


class MovableClock:
    """One clock for all services. It goes on by itself; it is never set back."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._one = asyncio.Lock()

    async def now(self) -> datetime:
        """What the services see."""
        async with self._one:
            moment: datetime = await self._conn.fetchval(_NOW)
        return moment

    async def set(self, moment: datetime) -> timedelta:
        """Set it forward; how far. An earlier moment changes nothing."""
        ahead = moment - await self.now()
        if ahead <= timedelta():
            return timedelta()
        async with self._one:
            await self._conn.execute(_SET, moment)
        return ahead
