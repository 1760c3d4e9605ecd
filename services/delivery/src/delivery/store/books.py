"""The books: rolled-up counters plus the changes since, read in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.pool import Conn

from delivery.domain.books import COUNTERS, NOTHING, Books

_ADD: Final = """
insert into books_delta (sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown)
select sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[])
    as row (sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown)
"""

_READ: Final = """
select sequence_id, sum(planned)::bigint as planned, sum(pending)::bigint as pending, sum(claimed)::bigint as claimed,
    sum(sent)::bigint as sent, sum(failed)::bigint as failed, sum(dropped)::bigint as dropped,
    sum(expired)::bigint as expired, sum(unknown)::bigint as unknown
from (
    select sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown
    from books where sequence_id = any($1::text[])
    union all
    select sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown
    from books_delta where sequence_id = any($1::text[])
) as parts
group by sequence_id
"""

_ROLL_UP: Final = """
with gone as (
    delete from books_delta where id = any(array(select id from books_delta order by id limit $1))
    returning sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown
), summed as (
    select sequence_id, sum(planned) as planned, sum(pending) as pending, sum(claimed) as claimed, sum(sent) as sent,
        sum(failed) as failed, sum(dropped) as dropped, sum(expired) as expired, sum(unknown) as unknown,
        count(*) as parts
    from gone group by sequence_id
), rolled as (
    insert into books as b (sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown)
    select sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown from summed
    on conflict (sequence_id) do update set planned = b.planned + excluded.planned,
        pending = b.pending + excluded.pending, claimed = b.claimed + excluded.claimed, sent = b.sent + excluded.sent,
        failed = b.failed + excluded.failed, dropped = b.dropped + excluded.dropped,
        expired = b.expired + excluded.expired, unknown = b.unknown + excluded.unknown, unsaid = true
)
select coalesce(sum(parts), 0)::bigint from summed
"""

_HAVE_CHANGED: Final = "select exists (select from books_delta) or exists (select from books where unsaid)"

# Two readers of the same second would both find it due: the caller holds the books lock.
_CLOSE: Final = """
update books b set unsaid = false, books_version = b.books_version + 1, said_at = clock_timestamp()
from gate g
where b.unsaid and g.sequence_id = b.sequence_id
    and (b.said_at is null or b.said_at <= clock_timestamp() - make_interval(secs => $1))
returning b.sequence_id, b.books_version, b.said_at, g.status in ('paused', 'deleted') as stopped,
    b.planned, b.pending, b.claimed, b.sent, b.failed, b.dropped, b.expired, b.unknown
"""

_ERASE_DELTAS: Final = "delete from books_delta where sequence_id = $1"

_ERASE: Final = "delete from books where sequence_id = $1"


@dataclass(frozen=True, slots=True)
class Counted:
    """The books of one sequence at one instant, to be told."""

    sequence_id: str
    books_version: int
    as_of: datetime
    stopped: bool
    books: Books


async def add(conn: Conn, changes: Mapping[str, Books]) -> None:
    """Append one change per sequence. A change of nothing only has the books told again."""
    await conn.execute(
        _ADD,
        list(changes),
        *([getattr(change, counter) for change in changes.values()] for counter in COUNTERS),
    )


async def read(conn: Conn, sequence_ids: Sequence[str]) -> dict[str, Books]:
    """The books of these sequences, of one instant."""
    found = {row[0]: Books(*list(row)[1:]) for row in await conn.fetch(_READ, sequence_ids)}
    return {sequence_id: found.get(sequence_id, NOTHING) for sequence_id in sequence_ids}


async def have_changed(conn: Conn) -> bool:
    """Whether there is anything to be rolled up, or to be told."""
    return bool(await conn.fetchval(_HAVE_CHANGED))


async def roll_up(conn: Conn, *, limit: int) -> int:
    """Take the oldest changes into the books; how many. The caller holds the books lock."""
    rolled: int = await conn.fetchval(_ROLL_UP, limit)
    return rolled


async def close(conn: Conn, *, every_seconds_min: float) -> list[Counted]:
    """The books that changed since they were told, and were not told within so many seconds; they count as told."""
    return [
        Counted(row[0], row[1], row[2], row[3], Books(*list(row)[4:]))
        for row in await conn.fetch(_CLOSE, every_seconds_min)
    ]


async def erase_deltas(conn: Conn, sequence_id: str) -> int:
    """Drop the changes of a sequence; how many there were."""
    return int((await conn.execute(_ERASE_DELTAS, sequence_id)).rsplit(" ", 1)[1])


async def erase(conn: Conn, sequence_id: str) -> int:
    """Drop the books of a sequence."""
    return int((await conn.execute(_ERASE, sequence_id)).rsplit(" ", 1)[1])
