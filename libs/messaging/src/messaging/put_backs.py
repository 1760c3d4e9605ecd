"""The times at which this database was found to have been put back, and how far each was dealt with."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from chassis.pool import Conn


class PutBack(NamedTuple):
    """One that is under way."""

    found_at: datetime
    adopted_at: datetime | None


_UNDER_WAY: Final = "select found_at, adopted_at from put_back where opened_at is null"

_FIND: Final = "insert into put_back default values returning found_at, adopted_at"

_ADOPTED: Final = "update put_back set adopted_at = clock_timestamp() where opened_at is null"

_OPENED: Final = "update put_back set opened_at = clock_timestamp() where opened_at is null"

# A partition that nobody has read yet has no row: `partitions` says how many there must be.
_BEHIND: Final = """
select topic from unnest($1::text[]) as named (topic)
where (
        select count(*) from consumer_offset at
        where at.topic = named.topic and at.caught_up_at > (select adopted_at from put_back where opened_at is null)
    ) < coalesce((select max(partitions) from consumer_offset at where at.topic = named.topic), 1)
order by topic
"""


async def under_way(conn: Conn) -> PutBack | None:
    """What was found and is not dealt with."""
    row = await conn.fetchrow(_UNDER_WAY)
    return None if row is None else PutBack(*row)


async def find(conn: Conn) -> PutBack:
    """Note that the database was put back."""
    row = await conn.fetchrow(_FIND)
    assert row is not None
    return PutBack(*row)


async def adopted(conn: Conn) -> None:
    """Note that all that was said is known again."""
    await conn.execute(_ADOPTED)


async def behind(conn: Conn, topics: Collection[str]) -> list[str]:
    """Those of these topics whose readers have not caught up since."""
    return [row[0] for row in await conn.fetch(_BEHIND, list(topics))]


async def opened(conn: Conn) -> None:
    """Note that it is over."""
    await conn.execute(_OPENED)
