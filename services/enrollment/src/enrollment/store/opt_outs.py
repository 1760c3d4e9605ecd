"""What contacts said of one channel. It outlives the contact's record, and is never erased."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from chassis.pool import Conn

from enrollment.store.ids import joined

_ADD: Final = """
insert into channel_opt_out (contact_id, channel, opted_out_at)
select contact_id, channel, $3 from unnest($1::text[], $2::text[]) as said (contact_id, channel)
on conflict (contact_id, channel) do nothing
"""

_OF_CONTACTS: Final = """
select distinct contact_id from channel_opt_out where contact_id = any((select string_to_array($1, ','))::text[])
"""


async def add(conn: Conn, said: Sequence[tuple[str, str]], *, now: datetime) -> None:
    """Keep that contacts want nothing more on a channel."""
    if said:
        await conn.execute(_ADD, [one[0] for one in said], [one[1] for one in said], now)


async def of_contacts(conn: Conn, contact_ids: Collection[str]) -> set[str]:
    """Those of these contacts that have opted out of some channel."""
    return {row[0] for row in await conn.fetch(_OF_CONTACTS, joined(contact_ids))}
