"""Gates: the control rows that senders go by. Written under the exclusive gate lock only."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, cast

from campaign.active_clock import Stretch
from campaign.overdue import Mark
from chassis.pool import Conn

from delivery.domain.gate import Gate, Pause, Status

_LOAD: Final = """
select sequence_id, state_version, status, open, epoch, version, campaign, clock_offset, paused_at, follow_version,
    expire_until
from gate where sequence_id = any($1::text[])
"""

# `change` is drawn here, under the exclusive lock, so it rises in the order of commits; the notice is given once per
# statement and heard after the commit.
_SAVE: Final = """
with saved as (
    insert into gate (sequence_id, state_version, status, open, epoch, version, campaign, clock_offset, paused_at,
        follow_version, expire_until, change)
    select sequence_id, state_version, status, open, epoch, version, campaign, clock_offset, paused_at,
        follow_version, expire_until, nextval('gate_change')
    from unnest($1::text[], $2::bigint[], $3::text[], $4::boolean[], $5::bigint[], $6::integer[], $7::text[],
        $8::interval[], $9::timestamptz[], $10::integer[], $11::timestamptz[])
        as row (sequence_id, state_version, status, open, epoch, version, campaign, clock_offset, paused_at,
            follow_version, expire_until)
    order by sequence_id
    on conflict (sequence_id) do update set state_version = excluded.state_version, status = excluded.status,
        open = excluded.open, epoch = excluded.epoch, version = excluded.version, campaign = excluded.campaign,
        clock_offset = excluded.clock_offset, paused_at = excluded.paused_at,
        follow_version = excluded.follow_version, expire_until = excluded.expire_until, change = excluded.change
    returning sequence_id
)
select pg_notify(current_schema() || '.gate', '') from saved limit 1
"""

_ERASE: Final = "delete from gate where sequence_id = $1"

_PAUSES: Final = """
select sequence_id, paused_at, resumed_at, offset_before, offset_after, expire_until, expire_base, expire_reason
from gate_clock where sequence_id = any($1::text[]) order by sequence_id, paused_at
"""

_REMEMBER: Final = """
insert into gate_clock as past (sequence_id, paused_at, resumed_at, offset_before, offset_after, expire_until,
    expire_base, expire_reason)
select sequence_id, paused_at, resumed_at, offset_before, offset_after, expire_until, expire_base, expire_reason
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::interval[], $5::interval[], $6::timestamptz[],
    $7::timestamptz[], $8::text[])
    as row (sequence_id, paused_at, resumed_at, offset_before, offset_after, expire_until, expire_base, expire_reason)
on conflict (sequence_id, paused_at) do update set resumed_at = excluded.resumed_at,
    offset_before = excluded.offset_before, offset_after = excluded.offset_after,
    expire_until = coalesce(excluded.expire_until, past.expire_until),
    expire_base = coalesce(excluded.expire_base, past.expire_base),
    expire_reason = coalesce(excluded.expire_reason, past.expire_reason)
"""

# A mark stays until nothing is under it: that expires only while its sequence runs.
_FORGET: Final = """
delete from gate_clock c
where resumed_at < clock_timestamp() - $1::interval
    and not exists (
        select from pending p
        where p.sequence_id = c.sequence_id and p.lane is not null and p.due_active <= c.expire_until
    )
"""

_ERASE_CLOCK: Final = "delete from gate_clock where sequence_id = $1"

_GONE: Final = "select sequence_id from deleted_sequence where sequence_id = any($1::text[])"

_BURY: Final = """
insert into deleted_sequence (sequence_id) select unnest($1::text[]) on conflict (sequence_id) do nothing
"""


async def load(conn: Conn, sequence_ids: Sequence[str]) -> dict[str, Gate]:
    """The gates of these sequences, as far as they are known."""
    rows = await conn.fetch(_LOAD, sequence_ids)
    return {
        row["sequence_id"]: Gate(
            sequence_id=row["sequence_id"],
            state_version=row["state_version"],
            status=cast(Status, row["status"]),
            open=row["open"],
            epoch=row["epoch"],
            version=row["version"],
            campaign=row["campaign"],
            clock_offset=row["clock_offset"],
            paused_at=row["paused_at"],
            follow_version=row["follow_version"],
            expire_until=row["expire_until"],
        )
        for row in rows
    }


async def save(conn: Conn, gates: Sequence[Gate]) -> None:
    """Write gates, and wake the senders when the transaction commits. The caller holds the exclusive gate lock."""
    await conn.execute(
        _SAVE,
        [gate.sequence_id for gate in gates],
        [gate.state_version for gate in gates],
        [gate.status for gate in gates],
        [gate.open for gate in gates],
        [gate.epoch for gate in gates],
        [gate.version for gate in gates],
        [gate.campaign for gate in gates],
        [gate.clock_offset for gate in gates],
        [gate.paused_at for gate in gates],
        [gate.follow_version for gate in gates],
        [gate.expire_until for gate in gates],
    )


async def erase(conn: Conn, sequence_id: str) -> int:
    """Drop the gate of a sequence that is erased; whether it was there, as a number."""
    return int((await conn.execute(_ERASE, sequence_id)).rsplit(" ", 1)[1])


async def pauses(conn: Conn, sequence_ids: Sequence[str]) -> dict[str, tuple[Pause, ...]]:
    """The past pauses of these sequences, oldest first."""
    past: dict[str, tuple[Pause, ...]] = {}
    for sequence_id, paused_at, resumed_at, before, after, until, *mark in await conn.fetch(_PAUSES, sequence_ids):
        pause = Pause(Stretch(paused_at, resumed_at, before, after), None if until is None else Mark(until, *mark))
        past[sequence_id] = (*past.get(sequence_id, ()), pause)
    return past


async def remember(conn: Conn, pauses: Sequence[tuple[str, Pause]]) -> None:
    """Keep pauses that are over, for enrollments that are heard of late."""
    if not pauses:  # senders wait meanwhile
        return
    await conn.execute(
        _REMEMBER,
        [sequence_id for sequence_id, _ in pauses],
        [pause.stretch.paused_at for _, pause in pauses],
        [pause.stretch.resumed_at for _, pause in pauses],
        [pause.stretch.offset_before for _, pause in pauses],
        [pause.stretch.offset_after for _, pause in pauses],
        [pause.mark and pause.mark.until for _, pause in pauses],
        [pause.mark and pause.mark.base for _, pause in pauses],
        [pause.mark and pause.mark.reason for _, pause in pauses],
    )


async def forget(conn: Conn, *, older_than: timedelta) -> None:
    """Drop pauses that are older than any enrollment that may still be heard of."""
    await conn.execute(_FORGET, older_than)


async def erase_clock(conn: Conn, sequence_id: str) -> int:
    """Drop the past pauses of a sequence; how many there were."""
    return int((await conn.execute(_ERASE_CLOCK, sequence_id)).rsplit(" ", 1)[1])


async def gone(conn: Conn, sequence_ids: Sequence[str]) -> set[str]:
    """Those of these sequences that are deleted."""
    return {row["sequence_id"] for row in await conn.fetch(_GONE, sequence_ids)}


async def bury(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Remember that these sequences are deleted: nothing late brings them back."""
    await conn.execute(_BURY, sequence_ids)
