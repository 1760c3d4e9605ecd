"""The current state of every sequence."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from datetime import timedelta
from typing import Any, Final

import asyncpg
import orjson
from chassis.pool import Conn
from messaging import Cause

from sequences.domain.sequence import Definition, Sequence, Status

_MICROSECOND: Final = timedelta(microseconds=1)

_LOCK: Final = """
select sequence_id from sequence where sequence_id = any($1::text[]) order by sequence_id for update
"""

_LOAD: Final = """
select s.sequence_id, s.status, s.state_version, s.epoch, s.revision, s.updated_at, s.draft, s.version,
    v.definition as published, s.in_flight, s.reason, s.paused_at, s.resumed_at, s.clock_offset_us, s.entry_closed_at,
    s.halted_at, s.dropped, s.in_flight_sends, s.resume_asked, s.deletion, false as gone
from sequence s
left join version v on v.sequence_id = s.sequence_id and v.version = s.version
where s.sequence_id = any($1::text[])
union all
select d.sequence_id, 'deleted', d.state_version, d.epoch, 0, d.completed_at, null, null,
    null, 'follow', null, null, null, 0, null,
    null, null, null, null, null, true
from deleted_sequence d
where d.sequence_id = any($1::text[])
"""

_SAVE: Final = """
insert into sequence as kept (
    sequence_id, status, state_version, epoch, revision, updated_at, draft, version,
    in_flight, reason, paused_at, resumed_at, clock_offset_us, entry_closed_at,
    halted_at, dropped, in_flight_sends, resume_asked, deletion
)
select sequence_id, status, state_version, epoch, revision, updated_at, draft, version,
    in_flight, reason, paused_at, resumed_at, clock_offset_us, entry_closed_at,
    halted_at, dropped, in_flight_sends, resume_asked, deletion
from unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::json[], $8::bigint[],
    $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::timestamptz[],
    $15::timestamptz[], $16::bigint[], $17::bigint[], $18::jsonb[], $19::jsonb[]
) as new (
    sequence_id, status, state_version, epoch, revision, updated_at, draft, version,
    in_flight, reason, paused_at, resumed_at, clock_offset_us, entry_closed_at,
    halted_at, dropped, in_flight_sends, resume_asked, deletion
)
order by sequence_id
on conflict (sequence_id) do update set
    status = excluded.status,
    state_version = excluded.state_version,
    epoch = excluded.epoch,
    revision = excluded.revision,
    updated_at = excluded.updated_at,
    draft = excluded.draft,
    version = excluded.version,
    in_flight = excluded.in_flight,
    reason = excluded.reason,
    paused_at = excluded.paused_at,
    resumed_at = excluded.resumed_at,
    clock_offset_us = excluded.clock_offset_us,
    entry_closed_at = excluded.entry_closed_at,
    halted_at = excluded.halted_at,
    dropped = excluded.dropped,
    in_flight_sends = excluded.in_flight_sends,
    resume_asked = excluded.resume_asked,
    deletion = excluded.deletion
"""

_STAY: Final = "select"


async def lock(conn: Conn, sequence_ids: Iterable[str]) -> None:
    """Keep others from changing these sequences until the transaction ends.

    A statement before `load`, so that what is loaded is what the last owner of the lock committed.
    """
    await conn.execute(_LOCK, sorted(set(sequence_ids)))


async def load(conn: Conn, sequence_ids: Rows[str]) -> dict[str, Sequence]:
    """The sequences that are there, erased ones too (`gone`), by id."""
    return {row["sequence_id"]: _sequence(row) for row in await conn.fetch(_LOAD, sequence_ids)}


async def save(conn: Conn, sequences: Rows[Sequence]) -> None:
    """Write the state of locked or new sequences; `published` is the business of `versions`."""
    if sequences:
        await conn.execute(_SAVE, *map(list, zip(*(_row(sequence) for sequence in sequences), strict=True)))


async def stay(conn: Conn) -> None:
    """Show that the transaction lives: between two statements the server waits for two seconds at most."""
    await conn.execute(_STAY)


def _row(sequence: Sequence) -> tuple[Any, ...]:
    return (
        sequence.sequence_id,
        sequence.status.value,
        sequence.state_version,
        sequence.epoch,
        sequence.revision,
        sequence.updated_at,
        _json(sequence.draft),
        sequence.version,
        sequence.in_flight,
        sequence.reason,
        sequence.paused_at,
        sequence.resumed_at,
        sequence.clock_offset // _MICROSECOND,
        sequence.entry_closed_at,
        sequence.halted_at,
        sequence.dropped,
        sequence.in_flight_sends,
        _json(None if sequence.resume_asked is None else sequence.resume_asked.to_dict()),
        _json(None if sequence.deletion is None else sequence.deletion.to_dict()),
    )


def _sequence(row: asyncpg.Record) -> Sequence:
    return Sequence(
        sequence_id=row["sequence_id"],
        status=Status(row["status"]),
        state_version=row["state_version"],
        epoch=row["epoch"],
        revision=row["revision"],
        updated_at=row["updated_at"],
        draft=_definition(row["draft"]),
        version=row["version"],
        published=_definition(row["published"]),
        in_flight=row["in_flight"],
        reason=row["reason"],
        paused_at=row["paused_at"],
        resumed_at=row["resumed_at"],
        clock_offset=row["clock_offset_us"] * _MICROSECOND,
        entry_closed_at=row["entry_closed_at"],
        halted_at=row["halted_at"],
        dropped=row["dropped"],
        in_flight_sends=row["in_flight_sends"],
        resume_asked=_cause(row["resume_asked"]),
        deletion=_cause(row["deletion"]),
        gone=row["gone"],
    )


def _json(value: Definition | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _definition(text: str | None) -> Definition | None:
    return None if text is None else orjson.loads(text)


def _cause(text: str | None) -> Cause | None:
    return None if text is None else Cause(**orjson.loads(text))
