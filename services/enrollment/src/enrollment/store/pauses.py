"""Pauses that are over, until everybody who was turned away in them is asked again, or forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from chassis.pool import Conn
from messaging import Cause

from enrollment.domain.sequence import PauseOver


@dataclass(frozen=True, slots=True)
class EndedPause:
    """A pause that is over, and the record that said so."""

    over: PauseOver
    cause: Cause


_ADD: Final = """
insert into ended_pause (sequence_id, epoch, admit, cause)
select sequence_id, epoch, admit, cause
from unnest($1::text[], $2::bigint[], $3::boolean[], $4::json[]) as ended (sequence_id, epoch, admit, cause)
on conflict (sequence_id, epoch) do nothing
"""

_TAKE: Final = """
select sequence_id, epoch, admit, cause::text from ended_pause order by sequence_id, epoch limit 1
for update skip locked
"""

_DELETE: Final = "delete from ended_pause where sequence_id = $1 and epoch = $2"

_ERASE_SEQUENCE: Final = """
delete from ended_pause where ctid = any(array(select ctid from ended_pause where sequence_id = $1 limit $2))
"""


async def add(conn: Conn, ended: Sequence[EndedPause]) -> None:
    """Have those who were turned away in these pauses asked again, or forgotten."""
    if ended:
        await conn.execute(
            _ADD,
            [one.over.sequence_id for one in ended],
            [one.over.epoch for one in ended],
            [one.over.admit for one in ended],
            [orjson.dumps(one.cause.to_dict()).decode() for one in ended],
        )


async def take(conn: Conn) -> EndedPause | None:
    """One that no other process is at, locked."""
    row = await conn.fetchrow(_TAKE)
    return None if row is None else EndedPause(PauseOver(row[0], row[1], row[2]), Cause(**orjson.loads(row[3])))


async def delete(conn: Conn, over: PauseOver) -> None:
    """It is done: nobody is remembered of it any more."""
    await conn.execute(_DELETE, over.sequence_id, over.epoch)


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some rows of a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])
