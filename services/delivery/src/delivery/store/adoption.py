"""Where enrollments stand, in the queue or kept for when they are heard of again, and the history as it was told."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from asyncpg import Record
from chassis.pool import Conn

from delivery.domain.adoption import Changes, Doubt, Known, Standing
from delivery.store import history

_ROWS: Final = """
select enrollment_id::text as enrollment_id, sequence_id, contact_id, ended, halted, attempt, step_id, version,
    case when lane = 'unknown:' then 'unknown' when token is not null then 'claimed' else 'pending' end as place
from pending where enrollment_id = any($1::uuid[]) order by enrollment_id for update
"""

_KEPT: Final = """
select enrollment_id::text as enrollment_id, sequence_id, contact_id, ended, ended_at, doubt_step, doubt_version,
    attempt
from adopted where enrollment_id = any($1::uuid[])
"""

_TAKE: Final = """
delete from adopted where enrollment_id = any($1::uuid[])
returning enrollment_id::text as enrollment_id, sequence_id, contact_id, ended, ended_at, doubt_step, doubt_version,
    attempt
"""

_KEEP: Final = """
insert into adopted (enrollment_id, sequence_id, contact_id, ended, ended_at, doubt_step, doubt_version, attempt)
select enrollment_id, sequence_id, contact_id, string_to_array(ended, ','), ended_at, doubt_step, doubt_version, attempt
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::integer[],
    $8::integer[])
    as row (enrollment_id, sequence_id, contact_id, ended, ended_at, doubt_step, doubt_version, attempt)
on conflict (enrollment_id) do update set ended = excluded.ended, ended_at = excluded.ended_at,
    doubt_step = excluded.doubt_step, doubt_version = excluded.doubt_version, attempt = excluded.attempt
"""

# Planned by the planner. A version of null has it count from the plain clock's `base`, as for who was never planned:
# what the active clock showed then is known when all pauses are heard.
_MOVE_ON: Final = """
update pending p set token = null, epoch = null, halted = false, attempt = row.attempt, in_doubt = row.attempt > 0,
    lane = null, held_by = null, held_lane = null, due_own = null, due_active = null, step_id = null,
    tried_as = null, ended = string_to_array(row.ended, ','), version = case when row.base is null then p.version end,
    base_active = coalesce(row.base, p.base_active)
from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::integer[]) as row (enrollment_id, ended, base, attempt)
where p.enrollment_id = row.enrollment_id
"""

_DOUBT: Final = """
update pending p set token = null, epoch = null, halted = false, attempt = row.attempt, in_doubt = true,
    lane = 'unknown:', held_by = null, held_lane = null, tried_as = null, step_id = row.step_id, version = row.version,
    ended = string_to_array(row.ended, ','), due_own = coalesce(p.due_own, p.due_active),
    due_active = coalesce((
        select least(clock_timestamp(), g.paused_at) - g.clock_offset from gate g where g.sequence_id = p.sequence_id
    ), clock_timestamp()) + $6::interval
from unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::integer[])
    as row (enrollment_id, ended, step_id, version, attempt)
where p.enrollment_id = row.enrollment_id
"""

_DROP: Final = "delete from pending where enrollment_id = any($1::uuid[])"

_FORGET_KEPT: Final = "delete from adopted where enrollment_id = any($1::uuid[])"

_KNOWN: Final = """
select message_id::text, outcome, attempt from message where message_id = any($1::uuid[])
"""

_DELETED: Final = "select sequence_id from deleted_sequence where sequence_id = any($1::text[])"

_FORGET_MESSAGES: Final = "delete from message where message_id = any($1::uuid[])"

_BOOKS_TOLD: Final = """
insert into books as b (sequence_id, books_version)
select sequence_id, max(books_version) from unnest($1::text[], $2::bigint[]) as told (sequence_id, books_version)
where not exists (select from deleted_sequence d where d.sequence_id = told.sequence_id)
group by sequence_id order by sequence_id
on conflict (sequence_id) do update set books_version = greatest(b.books_version, excluded.books_version), unsaid = true
"""

_SKIP_TOKENS: Final = "select skip_claim_tokens()"

_FORGET: Final = """
delete from adopted where enrollment_id = any(array(
    select enrollment_id from adopted where adopted_at < clock_timestamp() - $1::interval limit $2
))
"""

_ERASE: Final = "delete from adopted where sequence_id = $1"


async def standings(conn: Conn, enrollment_ids: Sequence[str]) -> dict[str, Standing]:
    """Rows of the queue, locked, and what is kept of enrollments that have none."""
    found = {row["enrollment_id"]: _kept(row) for row in await conn.fetch(_KEPT, enrollment_ids)}
    return found | {row["enrollment_id"]: _row(row) for row in await conn.fetch(_ROWS, enrollment_ids)}


async def take(conn: Conn, enrollment_ids: Sequence[str]) -> list[Standing]:
    """What is kept of these enrollments, which have just got rows."""
    return [_kept(row) for row in await conn.fetch(_TAKE, enrollment_ids)]


async def known(conn: Conn, message_ids: Collection[str]) -> Known:
    """How these messages ended, as far as it is here."""
    return {row[0]: (row[1], row[2]) for row in await conn.fetch(_KNOWN, list(message_ids))}


async def deleted(conn: Conn, sequence_ids: Collection[str]) -> set[str]:
    """Those of these sequences that are deleted."""
    return {row[0] for row in await conn.fetch(_DELETED, list(sequence_ids))}


async def write(conn: Conn, changed: Sequence[Standing], *, unknown_wait: timedelta) -> None:
    """Write where enrollments stand now."""
    over = [one.enrollment_id for one in changed if one.over]
    await conn.execute(_DROP, over)
    await conn.execute(_FORGET_KEPT, over)
    await place(conn, [one for one in changed if one.here and not one.over], unknown_wait=unknown_wait)
    kept = [one for one in changed if not one.here and not one.over]
    await conn.execute(
        _KEEP,
        [one.enrollment_id for one in kept],
        [one.sequence_id for one in kept],
        [one.contact_id for one in kept],
        [",".join(one.ended) for one in kept],
        [one.ended_at for one in kept],
        [one.doubt and one.doubt.step_id for one in kept],
        [one.doubt and one.doubt.version for one in kept],
        [one.doubt.attempt if one.doubt else one.attempt for one in kept],
    )


async def place(conn: Conn, living: Sequence[Standing], *, unknown_wait: timedelta) -> None:
    """Put rows where they belong: to be planned anew, or waiting until it is decided whether a message has arrived."""
    going = [one for one in living if one.doubt is None]
    await conn.execute(
        _MOVE_ON,
        [one.enrollment_id for one in going],
        [",".join(one.ended) for one in going],
        [one.ended_at for one in going],
        [one.attempt for one in going],
    )
    doubted = [(one, one.doubt) for one in living if one.doubt is not None]
    await conn.execute(
        _DOUBT,
        [one.enrollment_id for one, _ in doubted],
        [",".join(one.ended) for one, _ in doubted],
        [doubt.step_id for _, doubt in doubted],
        [doubt.version for _, doubt in doubted],
        [doubt.attempt for _, doubt in doubted],
        unknown_wait,
    )


async def rewrite(conn: Conn, changes: Changes) -> None:
    """Have the history say of these messages what was told."""
    await conn.execute(_FORGET_MESSAGES, list(changes))
    await history.append(conn, [one for one in changes.values() if one is not None])


async def books_told(conn: Conn, told: Sequence[tuple[str, int]]) -> None:
    """Number the books behind those that were told."""
    await conn.execute(_BOOKS_TOLD, [one[0] for one in told], [one[1] for one in told])


async def skip_tokens(conn: Conn) -> None:
    """No claim will bear a number that one had which is forgotten."""
    await conn.execute(_SKIP_TOKENS)


async def forget(conn: Conn, *, older_than: timedelta, limit: int) -> int:
    """Drop what is older than any enrollment that may still be heard of; how many."""
    return int((await conn.execute(_FORGET, older_than, limit)).rsplit(" ", 1)[1])


async def erase(conn: Conn, sequence_id: str) -> int:
    """Drop what is kept of a sequence; how many."""
    return int((await conn.execute(_ERASE, sequence_id)).rsplit(" ", 1)[1])


def _row(row: Record) -> Standing:
    doubt = None
    if row["place"] == "unknown":
        doubt = Doubt(row["step_id"], row["version"], row["attempt"])
    return Standing(
        enrollment_id=row["enrollment_id"],
        sequence_id=row["sequence_id"],
        contact_id=row["contact_id"],
        here=True,
        place=row["place"],
        halted=row["halted"],
        ended=tuple(row["ended"]),
        doubt=doubt,
        attempt=row["attempt"],
    )


def _kept(row: Record) -> Standing:
    doubted = row["doubt_step"] is not None
    return Standing(
        enrollment_id=row["enrollment_id"],
        sequence_id=row["sequence_id"],
        contact_id=row["contact_id"],
        place="unknown" if doubted else None,
        ended=tuple(row["ended"]),
        ended_at=row["ended_at"],
        doubt=Doubt(row["doubt_step"], row["doubt_version"], row["attempt"]) if doubted else None,
        attempt=0 if doubted else row["attempt"],
    )
