"""How far this service is known to have published: moved in the transaction that forgets the outbox's rows."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from chassis.pool import Conn

Place = tuple[str, int]
"""A topic and a partition."""


class Found(NamedTuple):
    """A record of ours behind what was known."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


_LOAD: Final = "select topic, partition, next_offset from said"

_MOVE: Final = """
insert into said (topic, partition, next_offset)
select topic, partition, next_offset
from unnest($1::text[], $2::integer[], $3::bigint[]) as moved (topic, partition, next_offset)
order by topic, partition
on conflict (topic, partition) do update set next_offset = greatest(said.next_offset, excluded.next_offset)
"""

_TOTAL: Final = "select coalesce(sum(next_offset), 0)::bigint from said"

# In one snapshot: whoever publishes meanwhile moves the position where it forgets the row.
_UNKNOWN: Final = """
select found.topic, found.partition, found.next_offset
from unnest($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[])
    as found (topic, partition, next_offset, key, value)
left join said on said.topic = found.topic and said.partition = found.partition
where found.next_offset >= coalesce(said.next_offset, 0) and not exists (
    select from outbox
    where outbox.topic = found.topic and coalesce(outbox.key, '') = coalesce(found.key, '')
        and coalesce(outbox.value, '') = coalesce(found.value, '')
)
limit 1
"""

_BEGIN_AT_ENDS: Final = "delete from said_before"


async def load(conn: Conn) -> dict[Place, int]:
    """The next offset behind what is known to be published."""
    return {(row[0], row[1]): row[2] for row in await conn.fetch(_LOAD)}


async def move(conn: Conn, upto: Mapping[Place, int]) -> None:
    """Note how far is published; what is further already stays."""
    await conn.execute(_MOVE, [at[0] for at in upto], [at[1] for at in upto], list(upto.values()))


async def total(conn: Conn) -> int:
    """All positions together: never less than before, in a database that goes on."""
    return int(await conn.fetchval(_TOTAL))


async def unknown(conn: Conn, records: Sequence[Found]) -> Found | None:
    """One of these that this database neither knows to be published nor is about to publish."""
    columns = list(zip(*records, strict=True)) if records else [()] * len(Found._fields)
    row = await conn.fetchrow(_UNKNOWN, *columns)
    return None if row is None else Found(row[0], row[1], row[2], None, None)


async def begins_at_ends(conn: Conn) -> bool:
    """Whether positions were not kept so far though much was said; it is so once."""
    return await conn.execute(_BEGIN_AT_ENDS) != "DELETE 0"
