"""Deleted sequences whose rows are being erased, and what is left of those that are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson
from chassis.pool import Conn
from messaging import Cause


@dataclass(frozen=True, slots=True)
class Erasure:
    """One sequence, the record that deleted it, and how many rows of each table went so far."""

    sequence_id: str
    epoch: int
    cause: Cause
    rows: Mapping[str, int]

    def plus(self, table: str, rows: int) -> "Erasure":
        """The same with so many rows more."""
        return replace(self, rows={**self.rows, table: self.rows.get(table, 0) + rows})


_START: Final = """
insert into erasure (sequence_id, epoch, cause)
select sequence_id, epoch, cause
from unnest($1::text[], $2::bigint[], $3::jsonb[]) as deleted (sequence_id, epoch, cause)
on conflict (sequence_id) do nothing
"""

_TAKE: Final = """
select sequence_id, epoch, cause, rows from erasure order by sequence_id limit 1 for update skip locked
"""

_SAVE: Final = "update erasure set rows = $2 where sequence_id = $1"

_DELETE: Final = "delete from erasure where sequence_id = $1"

_DELETE_SEQUENCE: Final = "delete from sequence where sequence_id = $1"

_REMEMBER: Final = """
insert into deleted_sequence (sequence_id, epoch, erased_at) values ($1, $2, $3) on conflict (sequence_id) do nothing
"""


async def start(conn: Conn, deleted: Sequence[Erasure]) -> None:
    """Have sequences erased; one that is under way goes on."""
    if not deleted:
        return
    await conn.execute(
        _START,
        [one.sequence_id for one in deleted],
        [one.epoch for one in deleted],
        [orjson.dumps(one.cause.to_dict()).decode() for one in deleted],
    )


async def take(conn: Conn) -> Erasure | None:
    """One that is to be done and that no other process is at, locked."""
    row = await conn.fetchrow(_TAKE)
    return None if row is None else Erasure(row[0], row[1], Cause(**orjson.loads(row[2])), orjson.loads(row[3]))


async def save(conn: Conn, erasure: Erasure) -> None:
    """Write how far it is."""
    await conn.execute(_SAVE, erasure.sequence_id, orjson.dumps(erasure.rows).decode())


async def delete(conn: Conn, sequence_id: str) -> None:
    """It is done."""
    await conn.execute(_DELETE, sequence_id)


async def delete_sequence(conn: Conn, sequence_id: str) -> None:
    """Erase the sequence itself."""
    await conn.execute(_DELETE_SEQUENCE, sequence_id)


async def remember(conn: Conn, erasure: Erasure, *, now: datetime) -> None:
    """Keep the id, for whatever comes late."""
    await conn.execute(_REMEMBER, erasure.sequence_id, erasure.epoch, now)
