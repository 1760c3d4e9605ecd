"""One clock for all: the databases' and the processes' monotonic one move together, by jumps that take no time."""

from datetime import datetime, timedelta
from typing import Final

import asyncpg
from chassis.clock import monotonic, utc_now

MAKE: Final = """
create schema test_clock;
create table test_clock.ahead (by interval not null);
insert into test_clock.ahead values ('0');
grant usage on schema test_clock to public;
grant select on test_clock.ahead to public;
"""

IN_SCHEMA: Final = """
create function {schema}.clock_timestamp() returns timestamptz language sql volatile as
    'select pg_catalog.clock_timestamp() + (select by from test_clock.ahead)';
grant execute on function {schema}.clock_timestamp() to public;
"""
"""Found before the system's own: a session's search path is its schema first."""

_SET: Final = "update test_clock.ahead set by = $1"


class Clock:
    """Real time plus how far it is ahead. `conn` is a superuser's."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn
        self._ahead = timedelta()
        self._steps = 0.0

    def now(self) -> datetime:
        """What the databases show."""
        return utc_now() + self._ahead

    def monotonic(self) -> float:
        """What every process goes by for leases and freshness."""
        return monotonic() + self._steps

    async def start_at(self, moment: datetime) -> None:
        """Show this moment now; only for a history that begins."""
        await self._set(moment - utc_now())

    async def jump(self, by: timedelta) -> None:
        """Let that much time go by."""
        self.step(by.total_seconds())
        await self._set(self._ahead + by)

    def step(self, seconds: float) -> None:
        """Move the processes' clocks alone: a loop that looks again after a rest."""
        self._steps += seconds

    async def _set(self, ahead: timedelta) -> None:
        self._ahead = ahead
        await self._conn.execute(_SET, ahead)
