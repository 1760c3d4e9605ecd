"""Contacts, as far as messages need them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from chassis.pool import Conn
from sluice_contracts.contacts import ContactState

# By offset as well as by version: a later record with the id of a contact that is gone is a new contact, whose
# versions may start anew (an opt-out is all that it inherits), and a replay brings nobody back.
_SAVE: Final = """
with before as materialized (
    select contact_id, timezone from contact where contact_id = any($1::text[])
), saved as (
    insert into contact as known (contact_id, state_version, source_partition, source_offset, attributes, tags,
        addresses, timezone, language, opted_out, gone)
    select contact_id, state_version, source_partition, source_offset, attributes, tags, addresses, timezone, language,
        opted_out, false
    from unnest($1::text[], $2::bigint[], $3::integer[], $4::bigint[], $5::jsonb[], $6::jsonb[], $7::jsonb[],
        $8::text[], $9::text[], $10::boolean[])
        as row (contact_id, state_version, source_partition, source_offset, attributes, tags, addresses, timezone,
            language, opted_out)
    order by contact_id
    on conflict (contact_id) do update set state_version = excluded.state_version,
        source_partition = excluded.source_partition, source_offset = excluded.source_offset,
        attributes = excluded.attributes, tags = excluded.tags, addresses = excluded.addresses,
        timezone = excluded.timezone, language = excluded.language,
        opted_out = excluded.opted_out or (known.gone and known.opted_out), gone = false
    where excluded.source_offset > known.source_offset
        and (known.gone or excluded.state_version > known.state_version)
    returning contact_id, timezone
)
select s.contact_id, s.timezone is distinct from b.timezone
from saved s left join before b on b.contact_id = s.contact_id
"""

# A stub keeps it for a contact that is not known (any more, or yet).
_OPT_OUT: Final = """
insert into contact as known (contact_id, state_version, source_partition, source_offset, gone_offset, gone,
    opted_out_of)
select contact_id, 0, 0, -1, -1, true, array_agg(distinct channel)
from unnest($1::text[], $2::text[]) as row (contact_id, channel)
group by contact_id
order by contact_id
on conflict (contact_id) do update set opted_out_of = array(
    select unnest(known.opted_out_of) union select unnest(excluded.opted_out_of) order by 1
)
"""

_ERASE: Final = """
with living as materialized (
    select contact_id from contact where contact_id = any($1::text[]) and not gone
), erased as (
    insert into contact as known (contact_id, state_version, source_partition, source_offset, gone_offset, gone)
    select contact_id, 0, source_partition, source_offset, source_offset, true
    from unnest($1::text[], $2::integer[], $3::bigint[]) as row (contact_id, source_partition, source_offset)
    order by contact_id
    on conflict (contact_id) do update set source_partition = excluded.source_partition,
        source_offset = excluded.source_offset, gone_offset = excluded.gone_offset, attributes = '{}', tags = '[]',
        addresses = '{}', timezone = null, language = null, gone = true
    where excluded.source_offset > known.source_offset
    returning contact_id
)
select e.contact_id, (l.contact_id is not null)::integer
from erased e left join living l on l.contact_id = e.contact_id
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """A contact's state, and where in its topic it was read."""

    state: ContactState
    partition: int
    offset: int


async def save(conn: Conn, heard: Sequence[Heard]) -> dict[str, bool]:
    """Take over newer states; older ones change nothing. Of each that was newer, whether its time zone is another."""
    states = [one.state for one in heard]
    rows = await conn.fetch(
        _SAVE,
        [state.contact_id for state in states],
        [state.state_version for state in states],
        [one.partition for one in heard],
        [one.offset for one in heard],
        [orjson.dumps(state.attributes).decode() for state in states],
        [orjson.dumps(state.tags).decode() for state in states],
        [orjson.dumps(state.addresses).decode() for state in states],
        [state.timezone for state in states],
        [state.language for state in states],
        [state.opted_out for state in states],
    )
    return dict(rows)  # type: ignore[arg-type] # records are pairs


async def opt_out(conn: Conn, opted_out: Sequence[tuple[str, str]]) -> None:
    """Remember channels (`*`: all) on which contacts want nothing; that survives all else of them."""
    await conn.execute(_OPT_OUT, [one[0] for one in opted_out], [one[1] for one in opted_out])


async def erase(conn: Conn, gone: Sequence[tuple[str, int, int]]) -> dict[str, int]:
    """Keep nothing of these contacts but the id and the place (partition, offset) of the tombstone.

    By contact, how many rows that emptied; a tombstone that is older than what is known is left out.
    """
    rows = await conn.fetch(_ERASE, [row[0] for row in gone], [row[1] for row in gone], [row[2] for row in gone])
    return dict(rows)  # type: ignore[arg-type] # records are pairs
