"""What delivery saw right before a send, until enrollment can decide on it."""

from collections.abc import Collection, Sequence
from typing import Final

import orjson
from chassis.pool import Conn
from messaging import Cause

from enrollment.domain.condition import Met
from enrollment.store.ids import joined

_SAVE: Final = """
insert into condition_met as known (enrollment_id, sequence_id, contact_id, condition, contact_version,
    sequence_version, cause)
select enrollment_id, sequence_id, contact_id, condition, contact_version, sequence_version, cause
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::json[])
    as met (enrollment_id, sequence_id, contact_id, condition, contact_version, sequence_version, cause)
order by enrollment_id
on conflict (enrollment_id) do update
set condition = excluded.condition, contact_version = excluded.contact_version,
    sequence_version = excluded.sequence_version, cause = excluded.cause
where (known.contact_version, known.sequence_version) < (excluded.contact_version, excluded.sequence_version)
"""

_OF_CONTACTS: Final = """
select enrollment_id::text, contact_id, sequence_id, condition, contact_version, sequence_version, cause::text
from condition_met where contact_id = any((select string_to_array($1, ','))::text[]) order by contact_id, enrollment_id
"""

# What can be decided: its enrollment has ended, or contact, sequence and rules are as new as what delivery looked at,
# and an opt-out that only delivery has heard of has come here too.
_RIPE: Final = """
select met.contact_id
from condition_met met
left join contact on contact.contact_id = met.contact_id
left join sequence on sequence.sequence_id = met.sequence_id
left join enrollment on enrollment.sequence_id = met.sequence_id and enrollment.contact_id = met.contact_id
    and enrollment.enrollment_id = met.enrollment_id
where enrollment.status is distinct from 'active'
    or (contact.state_version >= met.contact_version and sequence.version >= met.sequence_version
        and exists (select from version where version.sequence_id = met.sequence_id
            and version.version = greatest(enrollment.version, sequence.follow_version))
        and (met.condition <> 'opted_out' or contact.state_version > met.contact_version
            or contact.opted_out or contact.opted_out_kept
            or exists (select from channel_opt_out where channel_opt_out.contact_id = met.contact_id)))
limit $1
"""

_DELETE: Final = "delete from condition_met where enrollment_id = any($1::uuid[])"

_FORGET_CONTACTS: Final = """
with gone as (
    delete from condition_met where contact_id = any((select string_to_array($1, ','))::text[]) returning contact_id
)
select contact_id, count(*) from gone group by contact_id
"""

_ERASE_SEQUENCE: Final = """
delete from condition_met where ctid = any(array(select ctid from condition_met where sequence_id = $1 limit $2))
"""


async def save(conn: Conn, reports: Sequence[Met]) -> None:
    """Keep reports, of each enrollment the one on the newest versions."""
    if reports:
        await conn.execute(
            _SAVE,
            [one.enrollment_id for one in reports],
            [one.sequence_id for one in reports],
            [one.contact_id for one in reports],
            [one.condition for one in reports],
            [one.contact_version for one in reports],
            [one.sequence_version for one in reports],
            [orjson.dumps(one.cause.to_dict()).decode() for one in reports],
        )


async def of_contacts(conn: Conn, contact_ids: Collection[str]) -> list[Met]:
    """What waits of these contacts."""
    return [
        Met(row[0], row[1], row[2], row[3], row[4], row[5], Cause(**orjson.loads(row[6])))
        for row in await conn.fetch(_OF_CONTACTS, joined(contact_ids))
    ]


async def ripe(conn: Conn, *, limit: int) -> list[str]:
    """Contacts of whom something can be decided."""
    return [row[0] for row in await conn.fetch(_RIPE, limit)]


async def delete(conn: Conn, enrollment_ids: Collection[str]) -> None:
    """Forget what is decided."""
    if enrollment_ids:
        await conn.execute(_DELETE, list(enrollment_ids))


async def forget_contacts(conn: Conn, contact_ids: Collection[str]) -> dict[str, int]:
    """Erase what waits of contacts; how many rows of each went."""
    return {row[0]: row[1] for row in await conn.fetch(_FORGET_CONTACTS, joined(contact_ids))}


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some rows of a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])
