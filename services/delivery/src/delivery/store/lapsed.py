"""Claims whose lease is over. Claiming is in `claiming`, booking in `booking`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from asyncpg import Record
from chassis.pool import Conn

from delivery.domain.lapse import Claimed
from delivery.domain.message import message_id_of

_OPEN: Final = "select token from claim"

_HOLD: Final = """
select p.enrollment_id::text as enrollment_id, p.sequence_id, p.contact_id, p.version, p.step_id, p.lane,
    p.due_active, p.attempt, p.ended, p.halted, p.in_doubt
from pending p
where p.enrollment_id = any(array(select unnest(enrollment_ids) from claim where token = $1)) and p.token = $1
order by p.enrollment_id
for update of p
"""

_RELEASE: Final = """
update pending p set token = null, epoch = null, in_doubt = true, held_by = null, tried_as = row.message_id
from unnest($1::uuid[], $3::uuid[]) as row (enrollment_id, message_id)
where p.enrollment_id = row.enrollment_id and p.token = $2
"""

# On the active clock, which stands still under a pause.
_DOUBT: Final = """
update pending p set token = null, epoch = null, in_doubt = true, lane = 'unknown:', held_by = null,
    due_own = coalesce(p.due_own, p.due_active),
    due_active = least(clock_timestamp(), g.paused_at) - g.clock_offset + $3::interval
from gate g
where p.enrollment_id = any($1::uuid[]) and p.token = $2 and g.sequence_id = p.sequence_id
"""

_END: Final = "delete from pending where enrollment_id = any($1::uuid[]) and token = $2"

_CLOSE: Final = "delete from claim where token = $1"


async def open_tokens(conn: Conn) -> list[int]:
    """The tokens of all claims that are not booked to the end."""
    return [row["token"] for row in await conn.fetch(_OPEN)]


async def hold(conn: Conn, token: int) -> list[Claimed]:
    """Lock the rows that still bear the claim's token."""
    return [_claimed(row) for row in await conn.fetch(_HOLD, token)]


async def release(conn: Conn, token: int, rows: Sequence[Claimed]) -> None:
    """Let rows be claimed again; the attempt that may have been counts."""
    message_ids = [message_id_of(row.enrollment_id, row.step_id) for row in rows]
    await conn.execute(_RELEASE, [row.enrollment_id for row in rows], token, message_ids)


async def doubt(conn: Conn, token: int, enrollment_ids: Sequence[str], *, wait: timedelta) -> None:
    """Let rows wait until their messages, which are unknown, are decided; by their steps' policies after `wait`."""
    await conn.execute(_DOUBT, enrollment_ids, token, wait)


async def end(conn: Conn, token: int, enrollment_ids: Sequence[str]) -> None:
    """Take rows out of the queue after which nothing comes."""
    await conn.execute(_END, enrollment_ids, token)


async def close(conn: Conn, token: int) -> None:
    """Forget a claim of which nothing is left."""
    await conn.execute(_CLOSE, token)


def _claimed(row: Record) -> Claimed:
    return Claimed(
        enrollment_id=row["enrollment_id"],
        sequence_id=row["sequence_id"],
        contact_id=row["contact_id"],
        version=row["version"],
        step_id=row["step_id"],
        lane=row["lane"],
        due_active=row["due_active"],
        attempt=row["attempt"],
        ended=tuple(row["ended"]),
        halted=row["halted"],
        in_doubt=row["in_doubt"],
    )
