"""Who may not enter what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from chassis.pool import Conn

from enrollment.domain.block import Block, sequence_scope

_ADD: Final = """
insert into block (contact_id, scope, blocked_at)
select contact_id, scope, $3 from unnest($1::text[], $2::text[]) as added (contact_id, scope)
on conflict (contact_id, scope) do nothing
"""

_FORGET_CONTACTS: Final = """
with gone as (delete from block where contact_id = any($1::text[]) returning contact_id)
select contact_id, count(*) from gone group by contact_id
"""

_ERASE_SEQUENCE: Final = """
delete from block where ctid = any(array(select ctid from block where scope = $1 limit $2))
"""


async def add(conn: Conn, blocks: Sequence[Block], *, now: datetime) -> None:
    """Keep blocks; one that stands already stays."""
    if blocks:
        await conn.execute(_ADD, [block.contact_id for block in blocks], [block.scope for block in blocks], now)


async def forget_contacts(conn: Conn, contact_ids: Sequence[str]) -> dict[str, int]:
    """Erase the blocks of contacts; how many rows of each went."""
    return {row[0]: row[1] for row in await conn.fetch(_FORGET_CONTACTS, contact_ids)}


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some blocks on a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_scope(sequence_id), limit)
    return int(status.rsplit(" ", 1)[1])
