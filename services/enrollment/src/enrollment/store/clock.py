"""The database's clock: entry, its closing and all that is stored are timed by it."""

from datetime import datetime
from typing import Final

from chassis.pool import Conn

_NOW: Final = "select clock_timestamp()"


async def now(conn: Conn) -> datetime:
    """The time at this moment, after whatever lock was taken before."""
    moment: datetime = await conn.fetchval(_NOW)
    return moment
