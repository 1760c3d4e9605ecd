"""Sequences as they last said of themselves, their versions, and how their clocks ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from campaign.active_clock import Stretch
from chassis.pool import Conn
from sluice_contracts.base import JsonObject
from sluice_contracts.sequences import SequenceState


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a sequence; when it was published where that was heard."""

    sequence_id: str
    version: int
    definition: JsonObject
    published_at: datetime | None


_HEAR: Final = """
insert into sequence as known (sequence_id, state_version, status, state)
select sequence_id, state_version, status, state
from unnest($1::text[], $2::bigint[], $3::text[], $4::jsonb[]) as news (sequence_id, state_version, status, state)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id)
order by sequence_id collate "C"
on conflict (sequence_id) do update
set state_version = excluded.state_version, status = excluded.status, state = excluded.state
where excluded.state_version > known.state_version
"""

_PUBLISHED: Final = """
insert into version as known (sequence_id, version, definition, published_at)
select sequence_id, version, definition, published_at
from unnest($1::text[], $2::bigint[], $3::jsonb[], $4::timestamptz[])
    as news (sequence_id, version, definition, published_at)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id)
order by sequence_id collate "C", version
on conflict (sequence_id, version) do update set published_at = least(known.published_at, excluded.published_at)
where known.published_at is null or excluded.published_at < known.published_at
"""

_UNPUBLISHED: Final = """
delete from version using unnest($1::text[], $2::bigint[]) as gone (sequence_id, version)
where version.sequence_id = gone.sequence_id and version.version = gone.version
"""

_RAN: Final = """
insert into stretch (sequence_id, paused_at, resumed_at, offset_before_seconds, offset_after_seconds, overdue, reason)
select sequence_id, paused_at, resumed_at, offset_before, offset_after, overdue,
    (select s.state ->> 'reason' from sequence as s where s.sequence_id = news.sequence_id and s.status = 'paused')
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::double precision[], $5::double precision[],
    $6::text[]) as news (sequence_id, paused_at, resumed_at, offset_before, offset_after, overdue)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id)
order by sequence_id collate "C", paused_at
on conflict (sequence_id, paused_at) do nothing
"""

_GONE: Final = """
insert into gone_sequence as known (sequence_id, epoch, told, completed)
select sequence_id, epoch, told, completed
from unnest($1::text[], $2::bigint[], $3::boolean[], $4::boolean[]) as news (sequence_id, epoch, told, completed)
order by sequence_id collate "C"
on conflict (sequence_id) do update
set told = known.told or excluded.told, completed = known.completed or excluded.completed,
    epoch = greatest(known.epoch, excluded.epoch)
where (excluded.told and not known.told) or (excluded.completed and not known.completed) or excluded.epoch > known.epoch
returning known.sequence_id, old.sequence_id is null or (new.told and not old.told)
"""

_DROP: Final = "delete from sequence where sequence_id = any($1::text[])"

_DROP_STOPS: Final = "delete from stop where sequence_id = any($1::text[])"

_DROP_RECEIPTS: Final = "delete from receipt where sequence_id = any($1::text[])"

_RECEIVED: Final = """
insert into receipt as known (sequence_id, service, rows, at)
select distinct on (sequence_id collate "C", service collate "C") sequence_id, service, rows, at
from unnest($1::text[], $2::text[], $3::jsonb[], $4::timestamptz[]) as news (sequence_id, service, rows, at)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id and gone.completed)
order by sequence_id collate "C", service collate "C", at
on conflict (sequence_id, service) do update set rows = excluded.rows, at = excluded.at where excluded.at < known.at
"""


async def hear(conn: Conn, states: Sequence[SequenceState]) -> None:
    """Take over newer states, each of another sequence."""
    await conn.execute(
        _HEAR,
        [one.sequence_id for one in states],
        [one.state_version for one in states],
        [one.status for one in states],
        [one.to_json().decode() for one in states],
    )


async def published(conn: Conn, versions: Sequence[Version]) -> None:
    """Keep versions, no two of the same."""
    if versions:
        await conn.execute(
            _PUBLISHED,
            [one.sequence_id for one in versions],
            [one.version for one in versions],
            [orjson.dumps(one.definition).decode() for one in versions],
            [one.published_at for one in versions],
        )


async def unpublished(conn: Conn, keys: Sequence[tuple[str, int]]) -> None:
    """Forget versions that are gone."""
    if keys:
        await conn.execute(_UNPUBLISHED, [key[0] for key in keys], [key[1] for key in keys])


async def ran(conn: Conn, stretches: Sequence[tuple[str, Stretch, str | None]]) -> None:
    """Keep pauses that are over, with how they were resumed. Why they were asked for stands in the state before."""
    if stretches:
        await conn.execute(
            _RAN,
            [sequence_id for sequence_id, _, _ in stretches],
            [one.paused_at for _, one, _ in stretches],
            [one.resumed_at for _, one, _ in stretches],
            [one.offset_before.total_seconds() for _, one, _ in stretches],
            [one.offset_after.total_seconds() for _, one, _ in stretches],
            [overdue for _, _, overdue in stretches],
        )


async def gone(conn: Conn, sequences: Sequence[tuple[str, int, bool]], *, completed: bool) -> set[str]:
    """Mark (sequence, epoch, whether a receipt is owed) as deleted, or as erased everywhere; which of it is news."""
    ids, epochs, told = zip(*sequences, strict=True)
    rows = await conn.fetch(_GONE, ids, epochs, told, [completed] * len(ids))
    return {row[0] for row in rows if row[1]}


async def drop(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Forget the states of sequences whose tombstone came."""
    await conn.execute(_DROP, sequence_ids)


async def drop_receipts(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Forget who erased sequences, and how they were stopped: all have."""
    await conn.execute(_DROP_RECEIPTS, sequence_ids)
    await conn.execute(_DROP_STOPS, sequence_ids)


async def received(conn: Conn, receipts: Sequence[tuple[str, str, dict[str, int], datetime | None]]) -> None:
    """Keep receipts of erasures: sequence, service, rows by table, when; said twice, the first one counts."""
    await conn.execute(
        _RECEIVED,
        [one[0] for one in receipts],
        [one[1] for one in receipts],
        [orjson.dumps(one[2]).decode() for one in receipts],
        [one[3] for one in receipts],
    )
