"""Where each partition's reader stands: in the service's own schema, moved in the transaction of what was read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chassis.pool import Conn

from messaging import opening


class OffsetsMoved(Exception):
    """Another owner has moved a partition on: this transaction must write nothing."""


@dataclass(frozen=True, slots=True)
class Move:
    """A step of one partition's reader."""

    partition: int
    expected: int
    next: int


_START: Final = """
insert into consumer_offset (topic, partition, partitions, next_offset)
select $1, partition, $4, next_offset from unnest($2::integer[], $3::bigint[]) as row (partition, next_offset)
on conflict (topic, partition) do nothing
"""

_LOAD: Final = """
select partition, next_offset from consumer_offset where topic = $1 and partition = any($2::integer[])
"""

_ADVANCE: Final = """
update consumer_offset as stored set next_offset = moved.next
from unnest($2::integer[], $3::bigint[], $4::bigint[]) as moved (partition, expected, next)
where stored.topic = $1 and stored.partition = moved.partition and stored.next_offset = moved.expected
"""

_SKIP: Final = """
update consumer_offset set next_offset = $4 where topic = $1 and partition = $2 and next_offset = $3
"""

# A row that somebody holds is one that moves on: it has nothing to confirm, and the others do not wait for it.
# Whether what was said is known is asked along, as `opening.is_held` does.
_BEAT: Final = """
with known as materialized (
    select not $4 or not pg_try_advisory_xact_lock_shared($5, hashtext(current_schema() || '.' || $6)) as known
), standing as materialized (
    select stored.topic, stored.partition
    from known cross join consumer_offset as stored
    join unnest($1::text[], $2::integer[], $3::bigint[]) as at (topic, partition, next_offset)
        using (topic, partition, next_offset)
    where known.known and not stored.withheld
    for update of stored skip locked
)
update consumer_offset as stored set beat = stored.beat + 1, caught_up_at = clock_timestamp()
from standing where stored.topic = standing.topic and stored.partition = standing.partition
"""

_WITHHOLD: Final = "update consumer_offset set withheld = true where topic = $1 and partition = $2"


async def load(conn: Conn, topic: str, *, beginnings: Mapping[int, int], partitions: int) -> dict[int, int]:
    """The next offset wanted of each partition; one never read before starts at the log's beginning.

    `partitions` is how many the topic has, so that who watches the heartbeats knows how many there must be.
    """
    await conn.execute(_START, topic, list(beginnings), list(beginnings.values()), partitions)
    return dict(await conn.fetch(_LOAD, topic, list(beginnings)))  # type: ignore[arg-type]


async def advance(conn: Conn, topic: str, moves: list[Move]) -> None:
    """Move readers on; OffsetsMoved unless each stands where it is expected."""
    status = await conn.execute(
        _ADVANCE, topic, [m.partition for m in moves], [m.expected for m in moves], [m.next for m in moves]
    )
    if status != f"UPDATE {len(moves)}":
        raise OffsetsMoved(topic)


async def skip(conn: Conn, topic: str, move: Move) -> None:
    """Move a reader over offsets that the log no longer holds."""
    await conn.execute(_SKIP, topic, move.partition, move.expected, move.next)


async def beat(conn: Conn, positions: Mapping[tuple[str, int], int], *, guarded: bool = False) -> None:
    """Confirm that the readers at these positions, by topic and partition, have caught up; one that stands elsewhere
    confirms nothing. `guarded`: nobody does before what was said is known."""
    places = list(positions)
    topics, partitions = [topic for topic, _ in places], [partition for _, partition in places]
    known = opening.LEVEL_LOCKS, opening.Level.KNOWN
    await conn.execute(_BEAT, topics, partitions, list(positions.values()), guarded, *known)


async def withhold(conn: Conn, topic: str, partition: int) -> None:
    """Stop a partition's heartbeat until a person decides."""
    await conn.execute(_WITHHOLD, topic, partition)
