"""What was decided before and is lost here: entries, ends and closed entries are written as they were said."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from chassis.pool import Conn

from enrollment.domain.adoption import AdoptedEntry
from enrollment.store.ids import Key


class AdoptedEnd(NamedTuple):
    """How an enrollment ended."""

    sequence_id: str
    contact_id: str
    enrollment_id: str
    status: str
    reason: str | None
    ended_at: datetime


_KNOWN: Final = """
select enrollment.enrollment_id::text from enrollment
join unnest($1::text[], $2::text[], $3::uuid[]) as named (sequence_id, contact_id, enrollment_id)
    on named.sequence_id = enrollment.sequence_id and named.contact_id = enrollment.contact_id
    and named.enrollment_id = enrollment.enrollment_id
"""

# Who entered again had ended before: how, is told by another record, which may come later.
_MAKE_ROOM: Final = """
update enrollment set allow_reentry = true, ended_at = coalesce(ended_at, again.at),
    status = case status when 'active' then 'removed' else status end
from unnest($1::text[], $2::text[], $3::timestamptz[]) as again (sequence_id, contact_id, at)
where enrollment.sequence_id = again.sequence_id and enrollment.contact_id = again.contact_id and not allow_reentry
"""

_ENTER: Final = """
insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at, ended_at, status,
    allow_reentry)
select sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at, left_at,
    case when left_at is null then 'active' else 'removed' end, left_at is not null
from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
    as entered (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at, left_at)
on conflict do nothing
"""

_END: Final = """
update enrollment set status = ended.status, reason = ended.reason, ended_at = ended.ended_at
from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[])
    as ended (sequence_id, contact_id, enrollment_id, status, reason, ended_at)
where enrollment.sequence_id = ended.sequence_id and enrollment.contact_id = ended.contact_id
    and enrollment.enrollment_id = ended.enrollment_id
"""

# What counts no more was removed, or followed by another entry, already.
_REMOVE: Final = """
update enrollment set status = 'removed', reason = null, ended_at = $3, allow_reentry = $4
where contact_id = $1 and enrollment_id = any($2::uuid[]) and not allow_reentry
"""

_SEQUENCES_OF: Final = "select sequence_id from enrollment where contact_id = $1 and enrollment_id = any($2::uuid[])"

# Nobody enters before a newer state is heard, and what was receipted is not receipted again.
_CLOSE: Final = """
insert into sequence as known (sequence_id, state_version, status, epoch, closed_epoch)
select sequence_id, 0, 'closed', 0, max(epoch)
from unnest($1::text[], $2::bigint[]) as closed (sequence_id, epoch)
where not exists (select from deleted_sequence gone where gone.sequence_id = closed.sequence_id)
group by sequence_id order by sequence_id collate "C"
on conflict (sequence_id) do update
set status = 'closed', closed_epoch = excluded.closed_epoch
where known.status <> 'deleted' and known.epoch < excluded.closed_epoch
    and coalesce(known.closed_epoch, -1) < excluded.closed_epoch
"""

_FORGET_ANSWERED: Final = """
with answered as (
    select command from parked_command join inbox on inbox.message = parked_command.command
    where inbox.answer is not null
), gone as (
    delete from parked where command in (select command from answered)
)
delete from parked_command where command in (select command from answered)
"""


async def known(conn: Conn, keys: Collection[Key]) -> set[str]:
    """Those of these enrollments that are here."""
    columns = list(zip(*keys, strict=True)) if keys else [(), (), ()]
    return {row[0] for row in await conn.fetch(_KNOWN, *columns)}


async def enter(conn: Conn, entries: Sequence[AdoptedEntry]) -> None:
    """Write entries in their order; of one contact and sequence the last one counts."""
    await conn.execute(
        _MAKE_ROOM,
        [one.sequence_id for one in entries],
        [one.contact_id for one in entries],
        [one.enrolled_at for one in entries],
    )
    await conn.execute(_ENTER, *map(list, zip(*entries, strict=True)))


async def end(conn: Conn, ends: Sequence[AdoptedEnd]) -> None:
    """Write ends as they were said."""
    if ends:
        await conn.execute(_END, *map(list, zip(*ends, strict=True)))


async def remove(
    conn: Conn, contact_id: str, enrollment_ids: Sequence[str], *, at: datetime, allow_reentry: bool
) -> list[str]:
    """Write a removal; the sequences in which it ended something."""
    await conn.execute(_REMOVE, contact_id, enrollment_ids, at, allow_reentry)
    return [row[0] for row in await conn.fetch(_SEQUENCES_OF, contact_id, enrollment_ids)]


async def close(conn: Conn, closings: Collection[tuple[str, int]]) -> None:
    """Shut the entry of sequences that were closed in an epoch of which this database has not heard."""
    await conn.execute(_CLOSE, [one[0] for one in closings], [one[1] for one in closings])


async def forget_answered(conn: Conn) -> None:
    """Drop what waits for commands that were answered."""
    await conn.execute(_FORGET_ANSWERED)
