"""Messages that may have arrived, until that is decided: their history, and the rows that wait for it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from asyncpg import Record
from chassis.pool import Conn

from delivery.domain.message import message_id_of
from delivery.domain.resolution import Doubt, Resolution
from delivery.store import definitions, pending

# The clock is read first, so that it is a condition for the index.
_DUE: Final = """
with clock as materialized (
    select clock_timestamp() as now
)
select due.enrollment_id::text, due.step_id
from clock cross join gate g cross join lateral (
    select enrollment_id, step_id from pending p
    where p.sequence_id = g.sequence_id and p.lane = 'unknown:' and p.due_active <= clock.now - g.clock_offset
    order by p.due_active limit $1
) as due
where g.open
limit $1
"""

_OUTCOMES: Final = """
select message_id::text, enrollment_id::text, outcome from message where message_id = any($1::uuid[])
"""

# The row before its message, as wherever both are written.
_HOLD_ROWS: Final = """
select enrollment_id::text, step_id from pending
where enrollment_id = any($1::uuid[]) and lane = 'unknown:'
order by enrollment_id
for update
"""

# An erasure may have taken it meanwhile, and somebody else may have decided it.
_HOLD_MESSAGES: Final = """
select message_id::text, enrollment_id::text, sequence_id, contact_id, step_id, version, channel, attempt
from message where message_id = any($1::uuid[]) and outcome = 'unknown'
order by message_id
for update
"""

_RESOLVE: Final = """
update message m set outcome = decided.outcome, resolved_at = clock_timestamp(), resolved_by = decided.by
from unnest($1::uuid[], $2::text[], $3::text[]) as decided (message_id, outcome, by)
where m.message_id = decided.message_id and m.outcome = 'unknown'
"""

# It has not ended after all.
_REOPEN: Final = "delete from message where message_id = any($1::uuid[]) and outcome = 'unknown'"

_TRY_AGAIN: Final = """
update pending p set lane = again.lane, due_active = least(clock_timestamp(), g.paused_at) - g.clock_offset,
    tried_as = again.message_id
from unnest($1::uuid[], $2::text[], $3::uuid[]) as again (enrollment_id, lane, message_id), gate g
where p.enrollment_id = again.enrollment_id and p.lane = 'unknown:' and g.sequence_id = p.sequence_id
"""

_GIVE_UP: Final = "delete from pending where enrollment_id = any($1::uuid[]) and lane = 'unknown:'"


async def due(conn: Conn, *, limit: int) -> list[str]:
    """Unknown messages of open gates that have waited long enough: their policies decide."""
    rows = await conn.fetch(_DUE, limit)
    return [message_id_of(row["enrollment_id"], row["step_id"]) for row in rows]


async def outcomes(conn: Conn, message_ids: Sequence[str]) -> dict[str, str]:
    """How these messages ended, as far as they have."""
    return {row["message_id"]: row["outcome"] for row in await conn.fetch(_OUTCOMES, message_ids)}


async def hold(conn: Conn, message_ids: Sequence[str]) -> dict[str, Doubt]:
    """Lock those of these messages that are unknown, and the rows that wait for them. The caller shares the gates."""
    found = await conn.fetch(_OUTCOMES, message_ids)
    enrollments = [row["enrollment_id"] for row in found if row["outcome"] == "unknown"]
    if not enrollments:
        return {}
    waiting = {message_id_of(row[0], row[1]) for row in await conn.fetch(_HOLD_ROWS, enrollments)}
    doubts = [_doubt(row, waiting) for row in await conn.fetch(_HOLD_MESSAGES, message_ids)]
    versions = await definitions.load(conn, [(one.sequence_id, one.version) for one in doubts if one.waits])
    held: dict[str, Doubt] = {}
    for one in doubts:
        version = versions.get((one.sequence_id, one.version)) if one.waits else None
        place = None if version is None else version.places.get(one.step_id)
        step = None if version is None or place is None else version.steps[place]
        held[one.message_id] = replace(one, step=step)
    return held


async def settle(conn: Conn, resolutions: Sequence[Resolution]) -> None:
    """Write decisions about messages that are locked, and what their rows do then."""
    again = [one.doubt for one in resolutions if one.outcome == "retry"]
    ended = [one for one in resolutions if one.outcome != "retry"]
    await conn.execute(
        _RESOLVE,
        [one.doubt.message_id for one in ended],
        [one.outcome for one in ended],
        [one.by for one in ended],
    )
    await conn.execute(_REOPEN, [one.message_id for one in again])
    await conn.execute(
        _TRY_AGAIN,
        [one.enrollment_id for one in again],
        [None if one.step is None else one.step.lane for one in again],
        [one.message_id for one in again],
    )
    await pending.move_on(conn, [one.doubt.enrollment_id for one in resolutions if one.goes_on])
    await conn.execute(
        _GIVE_UP, [one.doubt.enrollment_id for one in resolutions if one.doubt.waits and one.outcome == "failed"]
    )


def _doubt(row: Record, waiting: Collection[str]) -> Doubt:
    return Doubt(
        message_id=row["message_id"],
        enrollment_id=row["enrollment_id"],
        sequence_id=row["sequence_id"],
        contact_id=row["contact_id"],
        step_id=row["step_id"],
        version=row["version"],
        channel=row["channel"],
        attempt=row["attempt"],
        waits=row["message_id"] in waiting,
    )
