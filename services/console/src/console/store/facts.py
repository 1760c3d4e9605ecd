"""Timelines and enrollments, written so that order and repetition do not matter."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from chassis.pool import Conn

from console.domain.fact import Change, Fact

_KEEP: Final = """
insert into event (event_id, at, kind, contact_id, sequence_id, enrollment_id, step_id, detail)
select event_id, at, kind, contact_id, sequence_id, enrollment_id, step_id, detail
from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[])
    as news (event_id, at, kind, contact_id, sequence_id, enrollment_id, step_id, detail)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id)
    and not exists (select from gone_enrollment as gone where gone.enrollment_id = news.enrollment_id)
    and (news.enrollment_id is not null or not exists (
        select from contact where contact.contact_id = news.contact_id and contact.state_version is null))
order by event_id
on conflict (event_id) do nothing
"""

# Who is known to have been sent something before is passed over: most sends are not the first.
_MERGE: Final = """
insert into enrollment as known (enrollment_id, contact_id, sequence_id, version, via, contact_offset, enrolled_at,
    first_sent_at, status, reason, ended_at)
select enrollment_id, contact_id, sequence_id, version, via, contact_offset, enrolled_at, first_sent_at, status, reason,
    ended_at
from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::timestamptz[],
    $8::timestamptz[], $9::text[], $10::text[], $11::timestamptz[])
    as news (enrollment_id, contact_id, sequence_id, version, via, contact_offset, enrolled_at, first_sent_at, status,
        reason, ended_at)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id)
    and not exists (select from gone_enrollment as gone where gone.enrollment_id = news.enrollment_id)
    and not exists (
        select from enrollment as same
        where same.enrollment_id = news.enrollment_id and same.first_sent_at <= news.first_sent_at
            and news.enrolled_at is null and news.ended_at is null
            and (same.sequence_id is not null or news.sequence_id is null))
order by enrollment_id collate "C"
on conflict (enrollment_id) do update set
    sequence_id = coalesce(known.sequence_id, excluded.sequence_id),
    version = coalesce(excluded.version, known.version),
    via = coalesce(excluded.via, known.via),
    contact_offset = coalesce(excluded.contact_offset, known.contact_offset),
    enrolled_at = coalesce(excluded.enrolled_at, known.enrolled_at),
    first_sent_at = least(known.first_sent_at, excluded.first_sent_at),
    (status, reason, ended_at) = (
        select status, reason, ended_at
        from (values
            (known.status, known.reason, known.ended_at), (excluded.status, excluded.reason, excluded.ended_at)
        ) as ends (status, reason, ended_at)
        order by ended_at nulls last, status collate "C" limit 1)
"""

_LATE: Final = """
insert into gone_enrollment (enrollment_id)
select news.enrollment_id
from unnest($1::text[], $2::text[], $3::bigint[]) as news (enrollment_id, contact_id, contact_offset)
join contact on contact.contact_id = news.contact_id and contact.gone_offset > news.contact_offset
on conflict (enrollment_id) do nothing
returning enrollment_id
"""

_ORPHANED: Final = """
insert into gone_enrollment (enrollment_id)
select news.enrollment_id
from unnest($1::text[], $2::text[]) as news (enrollment_id, sequence_id)
join gone_sequence using (sequence_id)
on conflict (enrollment_id) do nothing
returning enrollment_id
"""

_DROP_EVENTS: Final = "delete from event where contact_id = any($1::text[]) and enrollment_id = any($2::text[])"

_DROP_ENROLLMENTS: Final = "delete from enrollment where enrollment_id = any($1::text[])"

_BEGAN: Final = """
insert into origin as known (topic, earliest)
select $1, $2 where not exists (select from origin where topic = $1 and earliest <= $2)
on conflict (topic) do update set earliest = least(known.earliest, excluded.earliest)
"""


async def keep(conn: Conn, facts: Mapping[str, Fact]) -> None:
    """Add rows to timelines, by the id of their record; one that is there already, or is about what is gone, is not."""
    rows = list(facts.values())
    await conn.execute(
        _KEEP,
        list(facts),
        [one.at for one in rows],
        [one.kind for one in rows],
        [one.contact_id for one in rows],
        [one.sequence_id for one in rows],
        [one.enrollment_id for one in rows],
        [one.step_id for one in rows],
        [_json(one.detail) for one in rows],
    )


async def merge(conn: Conn, changes: Sequence[Change]) -> None:
    """Write what is known of enrollments, no two of the same."""
    if not changes:
        return
    await conn.execute(
        _MERGE,
        [one.enrollment_id for one in changes],
        [one.contact_id for one in changes],
        [one.sequence_id for one in changes],
        [one.version for one in changes],
        [one.via for one in changes],
        [one.contact_offset for one in changes],
        [one.enrolled_at for one in changes],
        [one.first_sent_at for one in changes],
        [one.status for one in changes],
        [one.reason for one in changes],
        [one.ended_at for one in changes],
    )


async def forget_late(conn: Conn, entered: Sequence[Change]) -> None:
    """Entries decided on a contact that is gone, or into a sequence that is: what came before them goes."""
    if not entered:
        return
    ids = [one.enrollment_id for one in entered]
    offsets = [one.contact_offset for one in entered]
    late = {row[0] for row in await conn.fetch(_LATE, ids, [one.contact_id for one in entered], offsets)}
    late |= {row[0] for row in await conn.fetch(_ORPHANED, ids, [one.sequence_id for one in entered])}
    if late:
        contact_ids = list({one.contact_id for one in entered if one.enrollment_id in late})
        await conn.execute(_DROP_EVENTS, contact_ids, list(late))
        await conn.execute(_DROP_ENROLLMENTS, list(late))


async def began(conn: Conn, topic: str, times: Iterable[datetime | None]) -> None:
    """Note how far back the records of a topic reach."""
    known = [time for time in times if time is not None]
    if known:
        await conn.execute(_BEGAN, topic, min(known))


def _json(detail: Mapping[str, Any]) -> str:
    return orjson.dumps(detail, option=orjson.OPT_UTC_Z).decode()
