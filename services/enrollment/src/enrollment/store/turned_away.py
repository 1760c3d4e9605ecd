"""Who was refused because the sequence is paused, until that pause is over."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from chassis.pool import Conn
from sluice_contracts.enrollment import Via

from enrollment.store.ids import joined


class TurnedAway(NamedTuple):
    """A contact that was refused in the pause of that epoch."""

    sequence_id: str
    contact_id: str
    epoch: int
    via: Via


_ADD: Final = """
insert into turned_away as known (sequence_id, contact_id, epoch, via)
select distinct on (contact_id, sequence_id) sequence_id, contact_id, epoch, via
from unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) as added (sequence_id, contact_id, epoch, via)
order by contact_id, sequence_id
on conflict (sequence_id, contact_id) do update set epoch = excluded.epoch, via = excluded.via
where known.epoch < excluded.epoch
"""

_SOME: Final = """
select contact_id from turned_away where sequence_id = $1 and epoch = $2 order by contact_id limit $3
"""

_TAKE: Final = """
delete from turned_away
where sequence_id = $1 and epoch = $2 and contact_id = any((select string_to_array($3, ','))::text[])
returning sequence_id, contact_id, epoch, via
"""

_OF_CONTACTS: Final = """
select sequence_id, contact_id from turned_away where contact_id = any((select string_to_array($1, ','))::text[])
"""

_DELETE: Final = """
delete from turned_away using unnest($1::text[], $2::text[]) as gone (sequence_id, contact_id)
where turned_away.sequence_id = gone.sequence_id and turned_away.contact_id = gone.contact_id
"""

_FORGET_CONTACTS: Final = """
with gone as (
    delete from turned_away where contact_id = any((select string_to_array($1, ','))::text[]) returning contact_id
)
select contact_id, count(*) from gone group by contact_id
"""

_ERASE_SEQUENCE: Final = """
delete from turned_away where ctid = any(array(select ctid from turned_away where sequence_id = $1 limit $2))
"""


async def add(conn: Conn, refused: Sequence[TurnedAway]) -> None:
    """Remember who was refused, once for each sequence and contact: the newest pause counts."""
    if refused:
        await conn.execute(
            _ADD,
            [one.sequence_id for one in refused],
            [one.contact_id for one in refused],
            [one.epoch for one in refused],
            [one.via for one in refused],
        )


async def some(conn: Conn, sequence_id: str, epoch: int, *, limit: int) -> list[str]:
    """Some contacts that were refused in a pause."""
    return [row[0] for row in await conn.fetch(_SOME, sequence_id, epoch, limit)]


async def take(conn: Conn, sequence_id: str, epoch: int, contact_ids: Collection[str]) -> list[TurnedAway]:
    """Those of these contacts that are still remembered, and forget them; sorted."""
    found = await conn.fetch(_TAKE, sequence_id, epoch, joined(contact_ids))
    return sorted(TurnedAway(*row) for row in found)


async def of_contacts(conn: Conn, contact_ids: Collection[str]) -> list[tuple[str, str]]:
    """The sequences that remember these contacts, each with the contact."""
    return [(row[0], row[1]) for row in await conn.fetch(_OF_CONTACTS, joined(contact_ids))]


async def delete(conn: Conn, named: Collection[tuple[str, str]]) -> None:
    """Forget these, each of a sequence and a contact."""
    if named:
        await conn.execute(_DELETE, [one[0] for one in named], [one[1] for one in named])


async def forget_contacts(conn: Conn, contact_ids: Collection[str]) -> dict[str, int]:
    """Erase what is remembered of contacts; how many rows of each went."""
    return {row[0]: row[1] for row in await conn.fetch(_FORGET_CONTACTS, joined(contact_ids))}


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some rows of a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])
