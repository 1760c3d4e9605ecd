"""The queue: one row per live enrollment, with its next message. Claiming and booking are the senders'."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record
from campaign.plan import Planned
from chassis.pool import Conn

from delivery.domain.ending import Held
from delivery.domain.entry import Entry, Replanned, Row

# An end that was heard before wins, and nothing late enters a sequence that is deleted.
_ENTER: Final = """
insert into pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane, due_active,
    base_active, contact_offset)
select enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane, due_active, base_active,
    contact_offset
from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::text[], $7::text[],
    $8::timestamptz[], $9::timestamptz[], $10::bigint[])
    as row (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane, due_active, base_active,
        contact_offset)
where not exists (select from ended e where e.enrollment_id = row.enrollment_id)
    and not exists (select from deleted_sequence d where d.sequence_id = row.sequence_id)
on conflict (enrollment_id) do nothing
returning enrollment_id::text, sequence_id
"""

# A claim that is not committed yet holds the row: this waits for it, and then sees its token.
_HOLD: Final = """
select p.enrollment_id::text, p.sequence_id, p.contact_id, g.campaign, p.token, p.halted, p.in_doubt, p.step_id,
    p.version, coalesce(p.held_lane, p.lane), p.attempt, coalesce(p.due_own, p.due_active) + g.clock_offset
from pending p left join gate g on g.sequence_id = p.sequence_id
where p.enrollment_id = any($1::uuid[])
order by p.enrollment_id
for update of p
"""

# Few: what senders hold at the moment, of rows whose enrollment had ended already. As an array, so that no plan walks
# through the queue.
_HALTED_OF: Final = """
select p.enrollment_id::text, p.sequence_id, p.contact_id, g.campaign, p.token, p.halted, p.in_doubt, p.step_id,
    p.version, coalesce(p.held_lane, p.lane), p.attempt, coalesce(p.due_own, p.due_active) + g.clock_offset
from pending p left join gate g on g.sequence_id = p.sequence_id
where p.enrollment_id = any(array(select unnest(enrollment_ids) from claim)) and p.halted
    and p.contact_id = any($1::text[])
"""

# What may still be sent again: nobody holds it now, and it is not decided to be unknown.
_HOLD_TRIED: Final = """
select p.tried_as::text, p.enrollment_id::text, p.sequence_id, p.contact_id, g.campaign, p.token, p.halted, p.in_doubt,
    p.step_id, p.version, coalesce(p.held_lane, p.lane), p.attempt, coalesce(p.due_own, p.due_active) + g.clock_offset
from pending p join gate g on g.sequence_id = p.sequence_id
where p.tried_as = any($1::uuid[]) and p.token is null and p.lane is distinct from 'unknown:'
order by p.enrollment_id
for update of p
"""

_TRIED: Final = "select tried_as::text from pending where tried_as = any($1::uuid[])"

# Planned by the planner, in the version that the enrollment then runs under.
_MOVE_ON: Final = """
update pending p set attempt = 0, in_doubt = false, ended = p.ended || p.step_id, step_id = null, lane = null,
    due_active = null, due_own = null, held_by = null, held_lane = null, tried_as = null,
    base_active = least(clock_timestamp(), g.paused_at) - g.clock_offset
from gate g
where p.enrollment_id = any($1::uuid[]) and p.token is null and g.sequence_id = p.sequence_id
"""

_DROP: Final = "delete from pending where enrollment_id = any($1::uuid[]) and token is null"

_HALT: Final = """
update pending set halted = true where enrollment_id = any($1::uuid[]) and token is not null and not halted
"""

_TO_PLAN: Final = "select exists (select from pending where lane is null) or exists (select from replan)"

# Of those that were never planned, the ones whose entry the gate knows of (`Known.knows_of`); of all, those whose
# version is here.
_UNPLANNED: Final = """
select p.enrollment_id::text as enrollment_id, p.sequence_id, p.contact_id, p.entered_version, p.version, p.step_id,
    p.base_active, p.ended, p.due_active, p.due_own, p.attempt, coalesce(p.held_lane, p.lane) as own_lane
from gate g cross join lateral (
    select enrollment_id, sequence_id, contact_id, entered_version, version, step_id, base_active, ended, due_active,
        due_own, attempt, lane, held_lane
    from pending
    where sequence_id = g.sequence_id and lane is null and entered_version <= g.version
        and (version is not null or g.paused_at is null or base_active <= g.paused_at)
        and exists (
            select from definition d where d.sequence_id = g.sequence_id
                and d.version = greatest(entered_version, coalesce(g.follow_version, g.version))
        )
        and (version is not null or exists (
            select from definition d where d.sequence_id = g.sequence_id and d.version = entered_version
        ))
    limit $1 for update skip locked
) as p
where g.version is not null and g.status <> 'deleted'
limit $1
"""

# What is under a mark expires: an edit that comes after a resume does not save it. What was tried before keeps its
# version; where it is held, it is looked at again.
_OUTDATED: Final = """
select enrollment_id::text as enrollment_id, sequence_id, contact_id, entered_version, version, step_id, base_active,
    ended, lane, due_active, due_own, attempt, coalesce(held_lane, lane) as own_lane
from pending
where sequence_id = $1 and lane is not null and (lane, due_active, pending.enrollment_id) > ($3, $4, $5::uuid)
    and version < $2 and token is null and lane <> 'unknown:' and (attempt = 0 or held_by is not null)
    and due_active > coalesce((select expire_until from gate where gate.sequence_id = $1), '-infinity')
order by lane, due_active, pending.enrollment_id
limit $6 for update skip locked
"""

_REPLAN: Final = """
update pending p set version = planned.version, step_id = planned.step_id, lane = planned.lane,
    due_active = planned.due_active, base_active = planned.base_active, due_own = null, held_by = null, held_lane = null
from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
    as planned (enrollment_id, version, step_id, lane, due_active, base_active)
where p.enrollment_id = planned.enrollment_id and p.token is null
"""

# Planned by the planner, who keeps what was tried before as it is.
_LOOK_AGAIN: Final = """
update pending p set lane = null, held_lane = coalesce(p.held_lane, p.lane), held_by = null
from (
    select enrollment_id from pending
    where contact_id = any($1::text[]) and held_by is not null and token is null
        and (held_by = 'condition' or contact_id = any($2::text[]))
    order by enrollment_id for update
) as held
where p.enrollment_id = held.enrollment_id
"""

_COUNT: Final = "select count(*) from pending where sequence_id = $1 and token is null"

_ERASE: Final = """
delete from pending where enrollment_id = any(array(
    select enrollment_id from pending where sequence_id = $1 order by enrollment_id limit $2 for update
))
returning enrollment_id::text, sequence_id, contact_id, null as campaign, token, halted, in_doubt, step_id, version,
    coalesce(held_lane, lane), attempt,
    coalesce(due_own, due_active) + (select clock_offset from gate g where g.sequence_id = $1)
"""


async def enter(conn: Conn, entries: Sequence[Entry]) -> dict[str, str]:
    """Put enrollments into the queue; those that got in, each with its sequence."""
    plans = [entry.planned for entry in entries]
    rows = await conn.fetch(
        _ENTER,
        [entry.enrollment_id for entry in entries],
        [entry.sequence_id for entry in entries],
        [entry.contact_id for entry in entries],
        [entry.entered_version for entry in entries],
        [plan and plan.version for plan in plans],
        [plan and plan.step_id for plan in plans],
        [plan and plan.lane for plan in plans],
        [plan and plan.due_active for plan in plans],
        [entry.base_active for entry in entries],
        [entry.contact_offset for entry in entries],
    )
    return {row["enrollment_id"]: row["sequence_id"] for row in rows}


async def hold(conn: Conn, enrollment_ids: Sequence[str]) -> list[Held]:
    """Lock the rows of these enrollments, in order, after every claim that is being made of them."""
    return [Held(*row) for row in await conn.fetch(_HOLD, enrollment_ids)]


async def halted_of(conn: Conn, contact_ids: Sequence[str]) -> list[Held]:
    """Rows of these contacts that a sender holds although their enrollment has ended."""
    return [Held(*row) for row in await conn.fetch(_HALTED_OF, contact_ids)]


async def hold_tried(conn: Conn, message_ids: Sequence[str]) -> dict[str, Held]:
    """Lock the rows that wait to send one of these messages again, by message. The caller shares the gates."""
    return {row[0]: Held(*row[1:]) for row in await conn.fetch(_HOLD_TRIED, message_ids)}


async def tried(conn: Conn, message_ids: Sequence[str]) -> set[str]:
    """Those of these messages that were tried and have not ended: they are to be sent again, or just are."""
    return {row[0] for row in await conn.fetch(_TRIED, message_ids)}


async def move_on(conn: Conn, enrollment_ids: Sequence[str]) -> None:
    """The steps of these rows, which are locked and which nobody holds, have ended now: the planner plans the next."""
    await conn.execute(_MOVE_ON, enrollment_ids)


async def drop(conn: Conn, enrollment_ids: Sequence[str]) -> None:
    """Take rows out of the queue that nobody holds."""
    await conn.execute(_DROP, enrollment_ids)


async def halt(conn: Conn, enrollment_ids: Sequence[str]) -> None:
    """Mark rows that a sender holds: nothing follows what it does."""
    await conn.execute(_HALT, enrollment_ids)


async def to_plan(conn: Conn) -> bool:
    """Whether anything waits to be planned, or planned again; it may have to wait longer."""
    return bool(await conn.fetchval(_TO_PLAN))


async def unplanned(conn: Conn, *, limit: int) -> list[Row]:
    """Lock rows that wait to be planned and can be."""
    return [_row(row) for row in await conn.fetch(_UNPLANNED, limit)]


async def outdated(
    conn: Conn, sequence_id: str, *, version: int, after: tuple[str, datetime, str], limit: int
) -> tuple[list[Row], tuple[str, datetime, str]]:
    """Lock rows planned under an older version that nobody has tried to send, behind a place in the queue.

    Also gives the place behind the last of them. Rows that others hold are passed over: whoever claims one later sees
    that its version is old.
    """
    rows = await conn.fetch(_OUTDATED, sequence_id, version, *after, limit)
    place = (rows[-1]["lane"], rows[-1]["due_active"], rows[-1]["enrollment_id"]) if rows else after
    return [_row(row) for row in rows], place


async def replan(conn: Conn, rows: Sequence[Replanned]) -> None:
    """Write the plans of rows that are locked."""
    planned = [(row, row.outcome) for row in rows if isinstance(row.outcome, Planned)]
    await conn.execute(
        _REPLAN,
        [row.row.enrollment_id for row, _ in planned],
        [plan.version for _, plan in planned],
        [plan.step_id for _, plan in planned],
        [plan.lane for _, plan in planned],
        [plan.due_active for _, plan in planned],
        [row.base_active for row, _ in planned],
    )


async def look_again(conn: Conn, contact_ids: Sequence[str], *, moved: Sequence[str]) -> None:
    """Have looked at again what a condition holds of these contacts, and what a window holds of those that `moved`."""
    await conn.execute(_LOOK_AGAIN, contact_ids, moved)


async def count(conn: Conn, sequence_id: str) -> int:
    """How many rows of a sequence nobody holds: what the books call pending."""
    counted: int = await conn.fetchval(_COUNT, sequence_id)
    return counted


async def erase(conn: Conn, sequence_id: str, *, limit: int) -> list[Held]:
    """Drop rows of a sequence, after whoever is booking them; what they were."""
    return [Held(*row) for row in await conn.fetch(_ERASE, sequence_id, limit)]


def _row(row: Record) -> Row:
    return Row(
        enrollment_id=row["enrollment_id"],
        sequence_id=row["sequence_id"],
        contact_id=row["contact_id"],
        entered_version=row["entered_version"],
        version=row["version"],
        step_id=row["step_id"],
        base_active=row["base_active"],
        ended=tuple(row["ended"]),
        due_active=row["due_active"],
        due_own=row["due_own"],
        attempt=row["attempt"],
        lane=row["own_lane"],
    )
