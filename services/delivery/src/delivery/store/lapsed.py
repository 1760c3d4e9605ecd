"""Claims whose lease is over. Claiming is in `claiming`, booking in `booking`."""

from collections.abc import Sequence
from typing import Final

from asyncpg import Record
from campaign.plan import Planned
from chassis.pool import Conn

from delivery.domain.lapse import Claimed, Lapse

_OPEN: Final = "select token from claim"

_HOLD: Final = """
select p.enrollment_id::text as enrollment_id, p.sequence_id, p.contact_id, p.version, p.step_id, p.lane,
    p.due_active, p.attempt, p.ended, p.halted
from pending p
where p.enrollment_id = any(array(select unnest(enrollment_ids) from claim where token = $1)) and p.token = $1
order by p.enrollment_id
for update of p
"""

_RELEASE: Final = """
update pending set token = null, epoch = null, in_doubt = true where enrollment_id = any($1::uuid[]) and token = $2
"""

_MOVE_ON: Final = """
update pending p set token = null, epoch = null, attempt = 0, in_doubt = false, ended = p.ended || p.step_id,
    version = next.version,
    step_id = next.step_id, lane = next.lane, due_active = next.due_active, base_active = next.base_active
from unnest($1::uuid[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])
    as next (enrollment_id, version, step_id, lane, due_active, base_active)
where p.enrollment_id = next.enrollment_id and p.token = $2
"""

_END: Final = "delete from pending where enrollment_id = any($1::uuid[]) and token = $2"

_CLOSE: Final = "delete from claim where token = $1"


async def open_tokens(conn: Conn) -> list[int]:
    """The tokens of all claims that are not booked to the end."""
    return [row["token"] for row in await conn.fetch(_OPEN)]


async def hold(conn: Conn, token: int) -> list[Claimed]:
    """Lock the rows that still bear the claim's token."""
    return [_claimed(row) for row in await conn.fetch(_HOLD, token)]


async def release(conn: Conn, token: int, enrollment_ids: Sequence[str]) -> None:
    """Let rows be claimed again; the attempt that may have been counts."""
    await conn.execute(_RELEASE, enrollment_ids, token)


async def move_on(conn: Conn, token: int, lapses: Sequence[Lapse]) -> None:
    """Go on to the next step."""
    following = [(lapse, lapse.next) for lapse in lapses if isinstance(lapse.next, Planned)]
    await conn.execute(
        _MOVE_ON,
        [lapse.row.enrollment_id for lapse, _ in following],
        token,
        [planned.version for _, planned in following],
        [planned.step_id for _, planned in following],
        [planned.lane for _, planned in following],
        [planned.due_active for _, planned in following],
        [lapse.base_active for lapse, _ in following],
    )


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
    )
