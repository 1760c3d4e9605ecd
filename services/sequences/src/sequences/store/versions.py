"""Definitions as they were published."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from typing import Final

import orjson
from chassis.pool import Conn

from sequences.domain.sequence import Sequence

_ADD: Final = """
insert into version (sequence_id, version, definition, published_at)
select sequence_id, version, definition, published_at
from unnest($1::text[], $2::bigint[], $3::json[], $4::timestamptz[])
    as new (sequence_id, version, definition, published_at)
order by sequence_id, version
"""

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
