"""Since when the console knows, and how far it has read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.pool import Conn


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a topic is read."""

    topic: str
    since: datetime | None
    caught_up_at: datetime | None


_ENSURE: Final = "insert into build default values on conflict (singleton) do nothing"

_BUILT: Final = "select built_at from build"

_SINCE: Final = "select min(earliest) from origin where topic = any($1::text[])"

_EVENTS: Final = "select count(*) from event"

_READINGS: Final = """
select o.topic, min(origin.earliest), case when count(*) = max(o.partitions) then min(o.caught_up_at) end
from consumer_offset as o left join origin using (topic)
group by o.topic order by o.topic
"""

_NOW: Final = "select clock_timestamp()"

_DROP: Final = """
truncate event, enrollment, sequence, version, stretch, stop, books, scope, receipt, origin, build, inbox,
    consumer_offset
"""

_DROP_CONTACTS: Final = "delete from contact where gone_offset is null"

_DROP_STATES: Final = """
update contact set state_version = null, source_offset = null, timezone = null, opted_out = false
where state_version is not null
"""


async def ensure(conn: Conn) -> None:
    """Note when building began, where it is not noted."""
    await conn.execute(_ENSURE)


async def built_at(conn: Conn) -> datetime:
    """When building began; now where it has not begun."""
    began: datetime | None = await conn.fetchval(_BUILT)
    return began or await clock(conn)


async def since(conn: Conn, topics: list[str]) -> datetime | None:
    """Before this nothing is known; None where nothing was read."""
    moment: datetime | None = await conn.fetchval(_SINCE, topics)
    return moment


async def events(conn: Conn) -> int:
    """How many rows the timelines have."""
    count: int = await conn.fetchval(_EVENTS)
    return count


async def readings(conn: Conn) -> list[Reading]:
    """How far each topic is read."""
    return [Reading(*row) for row in await conn.fetch(_READINGS)]


async def clock(conn: Conn) -> datetime:
    """The database's clock."""
    moment: datetime = await conn.fetchval(_NOW)
    return moment


async def drop(conn: Conn) -> None:
    """Drop what was built, and read the topics anew.

    What is gone stays marked as gone, and what is being erased is still owed: the topics may no longer tell of it.
    """
    await conn.execute(_DROP)
    await conn.execute(_DROP_CONTACTS)
    await conn.execute(_DROP_STATES)
