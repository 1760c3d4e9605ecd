"""Enrollments: entering, living, ending."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

from campaign.rules import Rules
from chassis.pool import Conn
from sluice_contracts.enrollment import StopReason

from enrollment.domain.ending import End, Live
from enrollment.domain.entry import Against, Ask, Been, Entered
from enrollment.store.ids import Key, joined
from enrollment.store.versions import rules_of

_AGAINST: Final = """
select case status when 'active' then 'live' else 'past' end, contact_id, sequence_id from enrollment
where contact_id = any((select string_to_array($1, ','))::text[])
    and sequence_id = any($2::text[]) and not allow_reentry
union all
select 'blocked', contact_id, scope from block
where contact_id = any((select string_to_array($1, ','))::text[]) and scope = any($3::text[])
union all
select 'behind', contact_id, key from parked
where contact_id = any((select string_to_array($1, ','))::text[]) and key = any($4::text[])
"""

_ENTER: Final = """
insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at)
select sequence_id, contact_id, enrollment_id, version, contact_offset, $6
from unnest(
    string_to_array($1, ','), string_to_array($2, ','), string_to_array($3, ',')::uuid[],
    string_to_array($4, ',')::bigint[], string_to_array($5, ',')::bigint[]
) as entered (sequence_id, contact_id, enrollment_id, version, contact_offset)
"""

# One that ends at once is written with its end: of several in a batch the last one counts for entry.
_ENTER_STOPPED: Final = """
insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at, ended_at,
    status, reason, allow_reentry)
select sequence_id, contact_id, enrollment_id, version, contact_offset, $8, $8, 'stopped', reason, superseded
from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::boolean[])
    as entered (sequence_id, contact_id, enrollment_id, version, contact_offset, reason, superseded)
"""

_SUPERSEDE: Final = """
update enrollment set allow_reentry = true
from unnest($1::text[], $2::text[]) as again (sequence_id, contact_id)
where enrollment.sequence_id = again.sequence_id and enrollment.contact_id = again.contact_id
    and not allow_reentry and status <> 'active'
"""

_LIVE_OF_CONTACTS: Final = """
select enrollment.enrollment_id::text, enrollment.contact_id, enrollment.sequence_id, enrollment.version,
    enrollment.contact_offset, sequence.campaign
from enrollment left join sequence on sequence.sequence_id = enrollment.sequence_id
where enrollment.contact_id = any((select string_to_array($1, ','))::text[])
    and enrollment.status = 'active' and not enrollment.allow_reentry
order by enrollment.sequence_id, enrollment.contact_id, enrollment.enrollment_id
for update of enrollment
"""

# With the rules that each is under; those that say nothing of a change of the contact are left out.
_CONDITIONAL_OF_CONTACTS: Final = """
select version.rules::text, enrollment.enrollment_id::text, enrollment.contact_id, enrollment.sequence_id,
    enrollment.version, enrollment.contact_offset, sequence.campaign
from enrollment
join sequence on sequence.sequence_id = enrollment.sequence_id
join version on version.sequence_id = enrollment.sequence_id
    and version.version = greatest(enrollment.version, sequence.follow_version)
where enrollment.contact_id = any((select string_to_array($1, ','))::text[])
    and enrollment.status = 'active' and not enrollment.allow_reentry and version.conditional
order by enrollment.sequence_id, enrollment.contact_id, enrollment.enrollment_id
for update of enrollment
"""

# Providers count in whole seconds: a reply within the second of the entry came after it.
_REPLYING: Final = """
select enrollment.enrollment_id::text, enrollment.contact_id, enrollment.sequence_id, enrollment.version,
    enrollment.contact_offset, sequence.campaign
from enrollment
join sequence on sequence.sequence_id = enrollment.sequence_id
join version on version.sequence_id = enrollment.sequence_id
    and version.version = greatest(enrollment.version, sequence.follow_version)
join unnest($1::text[], $2::timestamptz[]) as reply (contact_id, replied_at)
    on reply.contact_id = enrollment.contact_id
where enrollment.status = 'active' and not enrollment.allow_reentry and version.on_reply
    and date_trunc('second', enrollment.enrolled_at) <= reply.replied_at
order by enrollment.sequence_id, enrollment.contact_id, enrollment.enrollment_id
for update of enrollment
"""

# What lives is in the index on (contact, sequence); by `= any` it is used whatever the statistics say. By the contact
# alone all that it has ever been through would be read.
_LIVE: Final = """
select enrollment_id::text, contact_id, sequence_id, version, contact_offset
from enrollment
where contact_id = any((select string_to_array($1, ','))::text[]) and not allow_reentry
    and sequence_id = any((select string_to_array($2, ','))::text[])
    and enrollment_id in (select unnest(string_to_array($3, ',')::uuid[])) and status = 'active'
order by enrollment.sequence_id, enrollment.contact_id, enrollment.enrollment_id
for update of enrollment
"""

_SEQUENCES_OF_CONTACTS: Final = """
select distinct sequence_id from enrollment
where contact_id = any((select string_to_array($1, ','))::text[]) and status = 'active' and not allow_reentry
"""

_END: Final = """
update enrollment set status = $4, ended_at = $5, reason = $6, allow_reentry = $7
where contact_id = any((select string_to_array($1, ','))::text[]) and not allow_reentry
    and sequence_id = any((select string_to_array($2, ','))::text[])
    and enrollment_id in (select unnest(string_to_array($3, ',')::uuid[])) and status = 'active'
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


async def against(conn: Conn, asks: Sequence[Ask], *, scopes: Collection[str], keys: Collection[str]) -> Against:
    """What speaks against entries: earlier ones, blocks on these scopes, earlier enrolls by these keys."""
    found = Against()
    sets = {"blocked": found.blocked, "behind": found.behind}
    contact_ids = joined({ask.contact_id for ask in asks})
    sequence_ids = list({ask.sequence_id for ask in asks})
    for kind, contact_id, what in await conn.fetch(_AGAINST, contact_ids, sequence_ids, list(scopes), list(keys)):
        if kind in sets:
            sets[kind].add((what, contact_id))
        else:
            found.been[what, contact_id] = Been(kind)
    return found


async def enter(conn: Conn, entered: Sequence[tuple[Ask, Entered]], *, now: datetime) -> None:
    """Add enrollments; a unique violation where one would live beside another, or beside one that counts."""
    again = [ask for ask, entry in entered if entry.again]
    if again:
        await conn.execute(_SUPERSEDE, [ask.sequence_id for ask in again], [ask.contact_id for ask in again])
    await _enter_stopped(conn, entered, now=now)
    living = [(ask, entry) for ask, entry in entered if entry.stopped is None]
    if living:
        await conn.execute(
            _ENTER,
            joined([ask.sequence_id for ask, _ in living]),
            joined([ask.contact_id for ask, _ in living]),
            joined([ask.enrollment_id for ask, _ in living]),
            joined([str(entry.version) for _, entry in living]),
            joined([str(entry.contact_offset) for _, entry in living]),
            now,
        )


async def _enter_stopped(conn: Conn, entered: Sequence[tuple[Ask, Entered]], *, now: datetime) -> None:
    stopped = [(ask, entry) for ask, entry in entered if entry.stopped is not None]
    if not stopped:
        return
    last = {(ask.sequence_id, ask.contact_id): ask.enrollment_id for ask, _ in entered}
    await conn.execute(
        _ENTER_STOPPED,
        [ask.sequence_id for ask, _ in stopped],
        [ask.contact_id for ask, _ in stopped],
        [ask.enrollment_id for ask, _ in stopped],
        [entry.version for _, entry in stopped],
        [entry.contact_offset for _, entry in stopped],
        [entry.stopped for _, entry in stopped],
        [last[ask.sequence_id, ask.contact_id] != ask.enrollment_id for ask, _ in stopped],
        now,
    )


async def live_of_contacts(conn: Conn, contact_ids: Collection[str]) -> dict[str, list[Live]]:
    """What lives of each contact, locked."""
    found: dict[str, list[Live]] = {}
    for row in await conn.fetch(_LIVE_OF_CONTACTS, joined(contact_ids)):
        found.setdefault(row[1], []).append(Live(*row))
    return found


async def conditional_of_contacts(conn: Conn, contact_ids: Collection[str]) -> list[tuple[Rules, Live]]:
    """What lives of these contacts and may be ended by a change of them, with the rules that it is under; locked."""
    found = await conn.fetch(_CONDITIONAL_OF_CONTACTS, joined(contact_ids))
    return [(rules_of(row[0]), Live(*row[1:])) for row in found]


async def replying(conn: Conn, replies: Sequence[tuple[str, datetime]]) -> dict[str, list[Live]]:
    """What lives of each contact and is ended by its reply: those that were entered before it; locked."""
    found: dict[str, list[Live]] = {}
    for row in await conn.fetch(_REPLYING, [one[0] for one in replies], [one[1] for one in replies]):
        found.setdefault(row[1], []).append(Live(*row))
    return found


async def live(conn: Conn, named: Collection[Key]) -> dict[str, Live]:
    """Which of these live, locked, by enrollment."""
    return {row[0]: Live(*row) for row in await conn.fetch(_LIVE, *_named(named))}


async def sequences_of_contacts(conn: Conn, contact_ids: Collection[str]) -> list[str]:
    """The sequences in which these contacts live."""
    return [row[0] for row in await conn.fetch(_SEQUENCES_OF_CONTACTS, joined(contact_ids))]


async def end(conn: Conn, ends: Iterable[End]) -> None:
    """Write the ends of enrollments that live: a statement for each way in which they end."""
    ways: dict[tuple[str, datetime, StopReason | None, bool], list[Live]] = {}
    for one in ends:
        way = (one.status.value, one.ended_at, one.reason, one.allow_reentry)
        ways.setdefault(way, []).append(one.enrollment)
    for way, ended in ways.items():
        named = [(one.sequence_id, one.contact_id, one.enrollment_id) for one in ended]
        await conn.execute(_END, *_named(named), *way)


def _named(named: Collection[Key]) -> tuple[str, str, str]:
    """Contacts, sequences and enrollments, each of them once."""
    return joined({one[1] for one in named}), joined({one[0] for one in named}), joined({one[2] for one in named})


async def forget_contacts(conn: Conn, contact_ids: Sequence[str], *, before: Sequence[int]) -> dict[str, int]:
    """Erase what was decided on contact records before these offsets; how many rows of each contact went."""
    return {row[0]: row[1] for row in await conn.fetch(_FORGET_CONTACTS, contact_ids, before)}


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some rows of a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])
