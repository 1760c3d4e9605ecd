"""Ends that were heard of: an enrollment that is heard of after its end never enters the queue."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from chassis.pool import Conn

# Into a sequence that is deleted nothing enters anyway: there is nothing to remember.
_MARK: Final = """
insert into ended (enrollment_id, sequence_id, contact_id, heard_at)
select enrollment_id, sequence_id, contact_id, clock_timestamp()
from unnest($1::uuid[], $2::text[], $3::text[]) as row (enrollment_id, sequence_id, contact_id)
where not exists (select from deleted_sequence d where d.sequence_id = row.sequence_id)
on conflict (enrollment_id) do nothing
"""

_FORGET: Final = """
delete from ended where enrollment_id = any(array(
    select enrollment_id from ended where heard_at < clock_timestamp() - $1::interval limit $2
))
"""

_ERASE: Final = "delete from ended where sequence_id = $1"


async def mark(conn: Conn, ends: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Remember ends: by enrollment its sequence and its contact, where that was said."""
    await conn.execute(
        _MARK, list(ends), [sequence_id for sequence_id, _ in ends.values()], [contact for _, contact in ends.values()]
    )


async def forget(conn: Conn, *, older_than: timedelta, limit: int) -> int:
    """Drop markers that are older than any enrollment that may still be heard of; how many."""
    return int((await conn.execute(_FORGET, older_than, limit)).rsplit(" ", 1)[1])


async def erase(conn: Conn, sequence_id: str) -> int:
    """Drop the markers of a sequence; how many there were."""
    return int((await conn.execute(_ERASE, sequence_id)).rsplit(" ", 1)[1])
