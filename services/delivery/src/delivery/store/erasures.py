"""Sequences that are being erased, and how many rows that has taken so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from chassis.pool import Conn

from delivery.store.halts import SequenceHalt

_BEGIN: Final = """
insert into erasure (sequence_id, epoch, cause)
select sequence_id, epoch, cause from unnest($1::text[], $2::bigint[], $3::jsonb[]) as row (sequence_id, epoch, cause)
on conflict (sequence_id) do nothing
"""

_ANY: Final = "select exists (select from erasure)"

# What a sender that died still holds is told to be unknown before it goes: the reaper does that.
_TAKE: Final = """
select e.sequence_id, e.epoch, e.rows, e.cause from erasure e
where not exists (
    select from pending p
    where p.enrollment_id = any(array(select unnest(enrollment_ids) from claim)) and p.token is not null
        and p.sequence_id = e.sequence_id
)
order by e.sequence_id limit 1 for update of e skip locked
"""

_COUNT: Final = "update erasure set rows = $2::jsonb where sequence_id = $1"

_FINISH: Final = "delete from erasure where sequence_id = $1"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One sequence that is being erased."""

    sequence_id: str
    epoch: int
    rows: Mapping[str, int]
    cause: Mapping[str, Any] | None


async def begin(conn: Conn, halts: Sequence[SequenceHalt]) -> None:
    """Erase these sequences, which are halted."""
    await conn.execute(
        _BEGIN,
        [halt.sequence_id for halt in halts],
        [halt.epoch for halt in halts],
        [None if halt.cause is None else orjson.dumps(halt.cause).decode() for halt in halts],
    )


async def are_asked(conn: Conn) -> bool:
    """Whether any sequence is being erased."""
    return bool(await conn.fetchval(_ANY))


async def take(conn: Conn) -> Erasure | None:
    """Lock an erasure that is not done, is nobody's and has nothing claimed; None where there is none."""
    row = await conn.fetchrow(_TAKE)
    if row is None:
        return None
    return Erasure(row[0], row[1], orjson.loads(row[2]), None if row[3] is None else orjson.loads(row[3]))


async def count(conn: Conn, sequence_id: str, rows: Mapping[str, int]) -> None:
    """Remember how many rows of which table have gone."""
    await conn.execute(_COUNT, sequence_id, orjson.dumps(rows).decode())


async def finish(conn: Conn, sequence_id: str) -> None:
    """The erasure is done."""
    await conn.execute(_FINISH, sequence_id)
