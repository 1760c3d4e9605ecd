"""What this service has read back from its own compacted topic."""

from collections.abc import Mapping
from typing import Final

from chassis.pool import Conn

_LATE: Final = """
select heard.sequence_id
from unnest($1::text[], $2::bigint[]) as heard (sequence_id, state_version)
join sequence on sequence.sequence_id = heard.sequence_id
where sequence.heard_version > heard.state_version
union all
select sequence_id from deleted_sequence where sequence_id = any($1::text[])
order by sequence_id
"""

_REMEMBER: Final = """
update sequence set heard_version = heard.state_version
from unnest($1::text[], $2::bigint[]) as heard (sequence_id, state_version)
where sequence.sequence_id = heard.sequence_id and sequence.heard_version < heard.state_version
"""


async def late(conn: Conn, heard: Mapping[str, int]) -> list[str]:
    """Of these sequences, with the state versions just read: those of which a newer state, or the end, was there."""
    return [row[0] for row in await conn.fetch(_LATE, list(heard), list(heard.values()))]


async def remember(conn: Conn, heard: Mapping[str, int]) -> None:
    """Keep the highest state version read of each sequence."""
    await conn.execute(_REMEMBER, list(heard), list(heard.values()))
