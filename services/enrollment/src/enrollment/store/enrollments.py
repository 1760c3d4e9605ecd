"""Enrollments: entering, living, ending."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from chassis.pool import Conn

from enrollment.domain.ending import End, Live
from enrollment.domain.entry import Ask, Entered, Pair, Standing

_STANDINGS: Final = """
select ask.sequence_id, ask.contact_id, contact.source_offset, contact.opted_out or contact.opted_out_kept,
    exists (select from enrollment where enrollment.contact_id = ask.contact_id
        and enrollment.sequence_id = ask.sequence_id and not enrollment.allow_reentry),
    exists (select from block where block.contact_id = ask.contact_id
        and block.scope in ('sequence:' || ask.sequence_id, 'campaign:' || ask.campaign)),
    exists (select from parked where parked.contact_id = ask.contact_id and parked.key = ask.key)
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as ask (sequence_id, contact_id, campaign, key)
join contact on contact.contact_id = ask.contact_id
"""

_ENTER: Final = """
insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at)
select sequence_id, contact_id, enrollment_id, version, contact_offset, $6
from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::bigint[])
    as entered (sequence_id, contact_id, enrollment_id, version, contact_offset)
"""

_LIVE_OF_CONTACTS: Final = """
select enrollment.enrollment_id::text, enrollment.contact_id, enrollment.sequence_id, enrollment.version,
    enrollment.contact_offset, sequence.campaign
from enrollment left join sequence on sequence.sequence_id = enrollment.sequence_id
where enrollment.contact_id = any($1::text[]) and enrollment.status = 'active' and not enrollment.allow_reentry
order by enrollment.sequence_id, enrollment.contact_id, enrollment.enrollment_id
for update of enrollment
"""

_LIVE: Final = """
select enrollment.enrollment_id::text, enrollment.contact_id, enrollment.sequence_id, enrollment.version,
    enrollment.contact_offset
from unnest($1::text[], $2::text[], $3::uuid[]) as named (sequence_id, contact_id, enrollment_id)
join enrollment on enrollment.sequence_id = named.sequence_id and enrollment.contact_id = named.contact_id
    and enrollment.enrollment_id = named.enrollment_id
where enrollment.status = 'active'
order by enrollment.sequence_id, enrollment.contact_id, enrollment.enrollment_id
for update of enrollment
"""

_SEQUENCES_OF_CONTACTS: Final = """
select distinct sequence_id from enrollment
where contact_id = any($1::text[]) and status = 'active' and not allow_reentry
"""

_END: Final = """
update enrollment
set status = ended.status, ended_at = ended.ended_at, reason = ended.reason, allow_reentry = ended.allow_reentry
from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[], $7::boolean[])
    as ended (sequence_id, contact_id, enrollment_id, status, ended_at, reason, allow_reentry)
where enrollment.sequence_id = ended.sequence_id and enrollment.contact_id = ended.contact_id
    and enrollment.enrollment_id = ended.enrollment_id and enrollment.status = 'active'
"""

_FORGET_CONTACTS: Final = """
with gone as (
    delete from enrollment using unnest($1::text[], $2::bigint[]) as forgotten (contact_id, before)
    where enrollment.contact_id = forgotten.contact_id and enrollment.contact_offset < forgotten.before
    returning enrollment.contact_id
)
select contact_id, count(*) from gone group by contact_id
"""

_ERASE_SEQUENCE: Final = """
delete from enrollment where ctid = any(array(
    select ctid from enrollment where sequence_id = $1
    order by sequence_id, contact_id, enrollment_id limit $2 for update
))
"""


async def standings(
    conn: Conn, asks: Sequence[Ask], *, campaigns: Mapping[str, str | None], behind: bool
) -> dict[Pair, Standing]:
    """How each contact stands towards the sequence that it asks for; `behind`: look for earlier ones that wait."""
    rows = await conn.fetch(
        _STANDINGS,
        [ask.sequence_id for ask in asks],
        [ask.contact_id for ask in asks],
        [campaigns.get(ask.sequence_id) for ask in asks],
        [ask.key if behind else None for ask in asks],
    )
    return {(row[0], row[1]): Standing(row[2], row[3], row[4], row[5], row[6]) for row in rows}


async def enter(conn: Conn, entered: Sequence[tuple[Ask, Entered]], *, now: datetime) -> None:
    """Add live enrollments; a unique violation where one of them entered before."""
    if not entered:
        return
    await conn.execute(
        _ENTER,
        [ask.sequence_id for ask, _ in entered],
        [ask.contact_id for ask, _ in entered],
        [ask.enrollment_id for ask, _ in entered],
        [entry.version for _, entry in entered],
        [entry.contact_offset for _, entry in entered],
        now,
    )


async def live_of_contacts(conn: Conn, contact_ids: Sequence[str]) -> dict[str, list[Live]]:
    """What lives of each contact, locked."""
    found: dict[str, list[Live]] = {}
    for row in await conn.fetch(_LIVE_OF_CONTACTS, contact_ids):
        found.setdefault(row[1], []).append(Live(*row))
    return found


async def live(conn: Conn, named: Sequence[tuple[str, str, str]]) -> dict[str, Live]:
    """Those of (sequence, contact, enrollment) that live, locked, by enrollment."""
    rows = await conn.fetch(
        _LIVE, [name[0] for name in named], [name[1] for name in named], [name[2] for name in named]
    )
    return {row[0]: Live(*row) for row in rows}


async def sequences_of_contacts(conn: Conn, contact_ids: Sequence[str]) -> list[str]:
    """The sequences in which these contacts live."""
    return [row[0] for row in await conn.fetch(_SEQUENCES_OF_CONTACTS, contact_ids)]


async def end(conn: Conn, ends: Sequence[End]) -> None:
    """Write the ends of enrollments that live."""
    if not ends:
        return
    await conn.execute(
        _END,
        [end.enrollment.sequence_id for end in ends],
        [end.enrollment.contact_id for end in ends],
        [end.enrollment.enrollment_id for end in ends],
        [end.status.value for end in ends],
        [end.ended_at for end in ends],
        [end.reason for end in ends],
        [end.allow_reentry for end in ends],
    )


async def forget_contacts(conn: Conn, contact_ids: Sequence[str], *, before: Sequence[int]) -> dict[str, int]:
    """Erase what was decided on contact records before these offsets; how many rows of each contact went."""
    return {row[0]: row[1] for row in await conn.fetch(_FORGET_CONTACTS, contact_ids, before)}


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some rows of a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])
