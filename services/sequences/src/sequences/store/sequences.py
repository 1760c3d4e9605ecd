"""The current state of every sequence."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import orjson
from chassis.pool import Conn
from messaging import Cause

from sequences.domain.sequence import Definition, ResumeAsked, ResumeMode, ResumeTimer, Sequence, Status

_MICROSECOND: Final = timedelta(microseconds=1)

_LOCK: Final = """
select sequence_id from sequence where sequence_id = any($1::text[]) order by sequence_id for update
"""

_LOAD: Final = """
select s.sequence_id, s.status, s.state_version, s.epoch, s.revision, s.updated_at, s.draft, s.version,
    v.definition as published, s.in_flight, s.reason, s.paused_at, s.resumed_at, s.clock_offset_us, s.entry_closed_at,
    s.halted_at, s.dropped, s.in_flight_sends, s.resume_asked, s.deletion, s.follow_version, s.resume_at,
    s.resume_at_asked, s.overdue, s.max_lateness, s.admit, false as gone
from sequence s
left join version v on v.sequence_id = s.sequence_id and v.version = s.version
where s.sequence_id = any($1::text[])
union all
select d.sequence_id, 'deleted', d.state_version, d.epoch, 0, d.completed_at, null, null,
    null, 'follow', null, null, null, 0, null,
    null, null, null, null, null, null, null,
    null, null, null, null, true
from deleted_sequence d
where d.sequence_id = any($1::text[])
"""

_SAVE: Final = """
insert into sequence as kept (
    sequence_id, status, state_version, epoch, revision, updated_at, draft, version,
    in_flight, reason, paused_at, resumed_at, clock_offset_us, entry_closed_at,
    halted_at, dropped, in_flight_sends, resume_asked, deletion, follow_version, resume_at,
    resume_at_asked, overdue, max_lateness, admit
)
select sequence_id, status, state_version, epoch, revision, updated_at, draft, version,
    in_flight, reason, paused_at, resumed_at, clock_offset_us, entry_closed_at,
    halted_at, dropped, in_flight_sends, resume_asked, deletion, follow_version, resume_at,
    resume_at_asked, overdue, max_lateness, admit
from unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::json[], $8::bigint[],
    $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::timestamptz[],
    $15::timestamptz[], $16::bigint[], $17::bigint[], $18::jsonb[], $19::jsonb[], $20::bigint[], $21::timestamptz[],
    $22::jsonb[], $23::text[], $24::text[], $25::text[]
) as new (
    sequence_id, status, state_version, epoch, revision, updated_at, draft, version,
    in_flight, reason, paused_at, resumed_at, clock_offset_us, entry_closed_at,
    halted_at, dropped, in_flight_sends, resume_asked, deletion, follow_version, resume_at,
    resume_at_asked, overdue, max_lateness, admit
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
    deletion = excluded.deletion,
    follow_version = excluded.follow_version,
    resume_at = excluded.resume_at,
    resume_at_asked = excluded.resume_at_asked,
    overdue = excluded.overdue,
    max_lateness = excluded.max_lateness,
    admit = excluded.admit
"""

# The clock in a subquery: only then is it read once, and looked up in the index.
_DUE: Final = """
select sequence_id from sequence
where resume_at <= (select clock_timestamp()) and entry_closed_at is not null and halted_at is not null
order by resume_at
limit $1
"""

_CLOCK: Final = "select clock_timestamp()"

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


async def due(conn: Conn, *, limit: int) -> list[str]:
    """Sequences that have stopped and are to resume by themselves by now, those that waited longest first."""
    return [row[0] for row in await conn.fetch(_DUE, limit)]


async def clock(conn: Conn) -> datetime:
    """The database's clock: read it after a lock, not before."""
    now: datetime = await conn.fetchval(_CLOCK)
    return now


def _row(sequence: Sequence) -> tuple[Any, ...]:
    asked, timer, mode = sequence.resume_asked, sequence.resume_timer, sequence.resumed_with
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
        _json(None if asked is None else {**asked.cause.to_dict(), **asdict(asked.mode)}),
        _json(None if sequence.deletion is None else sequence.deletion.to_dict()),
        sequence.follow_version,
        None if timer is None else timer.at,
        _json(None if timer is None else timer.cause.to_dict()),
        None if mode is None else mode.overdue,
        None if mode is None else mode.max_lateness,
        None if mode is None else mode.admit,
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
        resume_asked=_asked(row["resume_asked"]),
        resume_timer=_timer(row["resume_at"], row["resume_at_asked"]),
        resumed_with=_mode(row),
        follow_version=row["follow_version"],
        deletion=_cause(row["deletion"]),
        gone=row["gone"],
    )


def _json(value: Definition | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _definition(text: str | None) -> Definition | None:
    return None if text is None else orjson.loads(text)


def _cause(text: str | None) -> Cause | None:
    return None if text is None else Cause(**orjson.loads(text))


def _asked(text: str | None) -> ResumeAsked | None:
    """The cause and the mode stand side by side; a row from before there were modes holds the cause alone."""
    if text is None:
        return None
    found = orjson.loads(text)
    mode = {name: found.pop(name) for name in ("overdue", "max_lateness", "admit") if name in found}
    return ResumeAsked(Cause(**found), ResumeMode(**mode))


def _timer(at: datetime | None, asked: str | None) -> ResumeTimer | None:
    cause = _cause(asked)
    return None if at is None or cause is None else ResumeTimer(at, cause)


def _mode(row: asyncpg.Record) -> ResumeMode | None:
    overdue = row["overdue"]
    return None if overdue is None else ResumeMode(overdue, row["max_lateness"], row["admit"] or "none")
