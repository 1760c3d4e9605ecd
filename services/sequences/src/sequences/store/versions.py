"""Definitions as they were published."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from datetime import datetime
from typing import Final, NamedTuple

import orjson
from chassis.pool import Conn

from sequences.domain.sequence import Definition, Sequence

_ADD: Final = """
insert into version (sequence_id, version, definition, published_at)
select sequence_id, version, definition, published_at
from unnest($1::text[], $2::bigint[], $3::json[], $4::timestamptz[])
    as new (sequence_id, version, definition, published_at)
order by sequence_id, version
"""

# Of sequences that are there: a deleted one is being erased, and what is erased stays so.
_ADOPT: Final = """
insert into version (sequence_id, version, definition, published_at)
select new.sequence_id, new.version, new.definition, new.published_at
from unnest($1::text[], $2::bigint[], $3::json[], $4::timestamptz[])
    as new (sequence_id, version, definition, published_at)
join sequence s on s.sequence_id = new.sequence_id and s.status <> 'deleted'
order by new.sequence_id, new.version
on conflict (sequence_id, version) do nothing
"""

_FORGET: Final = "delete from version where sequence_id = any($1::text[])"

_FORGET_SOME: Final = "delete from version where sequence_id || ':' || version = any($1::text[])"

_ERASE: Final = """
delete from version where (sequence_id, version) in (
    select sequence_id, version from version where sequence_id = any($1::text[]) order by sequence_id, version limit $2
)
returning sequence_id, version
"""

# Version by version: what comes in the midst of an erasure, or after it, is told by its own row alone.
_ERASED: Final = """
select heard.sequence_id, heard.version
from unnest($1::text[], $2::bigint[]) as heard (sequence_id, version)
where exists (select from deleted_sequence d where d.sequence_id = heard.sequence_id)
    or exists (select from sequence s where s.sequence_id = heard.sequence_id and s.status = 'deleted')
    and not exists (
        select from version v where v.sequence_id = heard.sequence_id and v.version = heard.version
    )
"""


class Version(NamedTuple):
    """A definition as it was published."""

    sequence_id: str
    version: int
    definition: Definition
    published_at: datetime


async def adopt(conn: Conn, found: Rows[Version]) -> None:
    """Keep versions that were published before."""
    if found:
        await conn.execute(
            _ADOPT,
            [one.sequence_id for one in found],
            [one.version for one in found],
            [orjson.dumps(one.definition).decode() for one in found],
            [one.published_at for one in found],
        )


async def forget(conn: Conn, sequence_ids: Iterable[str]) -> None:
    """Drop all versions of sequences of which nothing is left."""
    await conn.execute(_FORGET, list(sequence_ids))


async def forget_some(conn: Conn, keys: Rows[str]) -> None:
    """Drop versions, by their keys on the topic."""
    if keys:
        await conn.execute(_FORGET_SOME, keys)


async def add(conn: Conn, sequences: Rows[Sequence]) -> None:
    """Keep what these sequences have just published."""
    if sequences:
        await conn.execute(
            _ADD,
            [sequence.sequence_id for sequence in sequences],
            [sequence.version for sequence in sequences],
            [orjson.dumps(sequence.published).decode() for sequence in sequences],
            [sequence.updated_at for sequence in sequences],
        )


async def erase(conn: Conn, sequence_ids: Iterable[str], *, limit: int) -> list[tuple[str, int]]:
    """Delete at most `limit` versions of locked, deleted sequences; those that went."""
    return [(row[0], row[1]) for row in await conn.fetch(_ERASE, list(sequence_ids), limit)]


async def erased(conn: Conn, versions: Rows[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of these versions that this service has erased."""
    sequence_ids, numbers = [sequence_id for sequence_id, _ in versions], [version for _, version in versions]
    return {(row[0], row[1]) for row in await conn.fetch(_ERASED, sequence_ids, numbers)}
