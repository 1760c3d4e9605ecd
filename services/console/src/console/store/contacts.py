"""What is kept of contacts: that they are there, their zone, and whether they want nothing more."""

from collections.abc import Sequence
from typing import Final

from chassis.pool import Conn
from messaging import Message
from sluice_contracts.contacts import ContactState

_HEAR: Final = """
insert into contact as known (contact_id, state_version, source_offset, timezone, opted_out)
select contact_id, state_version, source_offset, timezone, opted_out
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::boolean[])
    as news (contact_id, state_version, source_offset, timezone, opted_out)
order by contact_id collate "C"
on conflict (contact_id) do update
set state_version = excluded.state_version, source_offset = excluded.source_offset, timezone = excluded.timezone,
    opted_out = excluded.opted_out
where excluded.source_offset > coalesce(known.gone_offset, -1)
    and (known.state_version is null or excluded.state_version > known.state_version)
"""

_GONE: Final = """
insert into contact as known (contact_id, gone_offset)
select contact_id, gone_offset from unnest($1::text[], $2::bigint[]) as news (contact_id, gone_offset)
order by contact_id collate "C"
on conflict (contact_id) do update
set gone_offset = excluded.gone_offset,
    state_version = case when known.source_offset > excluded.gone_offset then known.state_version end,
    source_offset = case when known.source_offset > excluded.gone_offset then known.source_offset end,
    timezone = case when known.source_offset > excluded.gone_offset then known.timezone end,
    opted_out = coalesce(known.source_offset > excluded.gone_offset, false) and known.opted_out
where excluded.gone_offset > coalesce(known.gone_offset, -1)
returning contact_id
"""


async def hear(conn: Conn, news: Sequence[Message[ContactState]]) -> None:
    """Take over newer records, each of another contact."""
    await conn.execute(
        _HEAR,
        [one.data.contact_id for one in news],
        [one.data.state_version for one in news],
        [one.offset for one in news],
        [one.data.timezone for one in news],
        [one.data.opted_out for one in news],
    )


async def gone(conn: Conn, contact_ids: Sequence[str], offsets: Sequence[int]) -> set[str]:
    """Mark contacts as gone; those to whom this tombstone is news come back."""
    return {row[0] for row in await conn.fetch(_GONE, contact_ids, offsets)}
