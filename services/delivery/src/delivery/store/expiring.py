"""Rows under a mark: due up to a resume that did not send what was overdue."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from asyncpg import Record
from campaign.plan import Finished, Planned
from chassis.pool import Conn

from delivery.domain.expiry import Expiry, Overdue

_ARE_MARKED: Final = "select exists (select from gate where expire_until is not null and open)"

# Lane by lane, so that each is one range of the index. What is unknown is not overdue: its due time is when it will be
# decided.
_HOLD: Final = """
with recursive lane as (
    select g.sequence_id, g.expire_until, g.clock_offset, (
        select min(p.lane) from pending p where p.sequence_id = g.sequence_id
    ) as lane
    from gate g where g.expire_until is not null and g.open
    union all
    select l.sequence_id, l.expire_until, l.clock_offset, (
        select min(p.lane) from pending p where p.sequence_id = l.sequence_id and p.lane > l.lane
    )
    from lane l where l.lane is not null
)
select p.enrollment_id::text as enrollment_id, p.sequence_id, p.contact_id, p.entered_version, p.version, p.step_id,
    coalesce(p.held_lane, p.lane) as lane, p.attempt, p.in_doubt, p.due_active,
    coalesce(p.due_own, p.due_active) + l.clock_offset as due_at, p.ended
from lane l cross join lateral (
    select enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane, held_lane, attempt,
        in_doubt, due_active, due_own, ended
    from pending
    where sequence_id = l.sequence_id and lane = l.lane and due_active <= l.expire_until and token is null
    order by due_active limit $1 for update skip locked
) p
where l.lane is not null and l.lane <> 'unknown:'
limit $1
"""

_MOVE_ON: Final = """
update pending p set attempt = 0, in_doubt = false, ended = p.ended || p.step_id,
    version = coalesce(next.version, p.version), step_id = next.step_id, lane = next.lane,
    due_active = next.due_active, base_active = next.base_active, due_own = null, held_by = null, held_lane = null,
    tried_as = null
from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
    as next (enrollment_id, version, step_id, lane, due_active, base_active)
where p.enrollment_id = next.enrollment_id and p.token is null
"""

# On the active clock.
_DOUBT: Final = """
update pending p set lane = 'unknown:', held_by = null, held_lane = null,
    due_own = coalesce(p.due_own, p.due_active), due_active = clock_timestamp() - g.clock_offset + $2::interval
from gate g
where p.enrollment_id = any($1::uuid[]) and p.token is null and g.sequence_id = p.sequence_id
"""


async def are_marked(conn: Conn) -> bool:
    """Whether any sequence that runs has a mark."""
    return bool(await conn.fetchval(_ARE_MARKED))


async def hold(conn: Conn, *, limit: int) -> list[Overdue]:
    """Lock rows under a mark that nobody holds, of sequences that run. The caller shares the gates."""
    return [_overdue(row) for row in await conn.fetch(_HOLD, limit)]


async def move_on(conn: Conn, expiries: Sequence[Expiry]) -> None:
    """Go on to the next step, where one follows or may."""
    plans = [(one, one.next) for one in expiries if not isinstance(one.next, Finished) and not one.row.in_doubt]
    planned: list[Planned | None] = [following for _, following in plans]
    await conn.execute(
        _MOVE_ON,
        [one.row.enrollment_id for one, _ in plans],
        [one and one.version for one in planned],
        [one and one.step_id for one in planned],
        [one and one.lane for one in planned],
        [one and one.due_active for one in planned],
        [one.base_active for one, _ in plans],
    )


async def doubt(conn: Conn, expiries: Sequence[Expiry], *, wait: timedelta) -> None:
    """Let those wait whose messages are unknown until they are decided; by their steps' policies after `wait`."""
    await conn.execute(_DOUBT, [one.row.enrollment_id for one in expiries if one.row.in_doubt], wait)


def _overdue(row: Record) -> Overdue:
    return Overdue(
        enrollment_id=row["enrollment_id"],
        sequence_id=row["sequence_id"],
        contact_id=row["contact_id"],
        entered_version=row["entered_version"],
        version=row["version"],
        step_id=row["step_id"],
        channel=row["lane"].partition(":")[0],
        attempt=row["attempt"],
        in_doubt=row["in_doubt"],
        due_active=row["due_active"],
        due_at=row["due_at"],
        ended=tuple(row["ended"]),
    )
