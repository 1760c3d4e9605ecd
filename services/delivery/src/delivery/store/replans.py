"""Publishes that who is inside must follow, and how far that has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.pool import Conn

_ASK: Final = """
insert into replan (sequence_id, version)
select sequence_id, version from unnest($1::text[], $2::integer[]) as row (sequence_id, version)
on conflict (sequence_id) do update set version = excluded.version, after_lane = default, after_due = default,
    after_id = default
"""

_NEXT: Final = """
select sequence_id, version, after_lane, after_due, after_id::text
from replan r
where exists (select from definition d where d.sequence_id = r.sequence_id and d.version = r.version)
order by sequence_id limit 1 for update of r skip locked
"""

_ADVANCE: Final = """
update replan set after_lane = $2, after_due = $3, after_id = $4::uuid where sequence_id = $1
"""

_FINISH: Final = "delete from replan where sequence_id = $1"


@dataclass(frozen=True, slots=True)
class Replan:
    """One walk through a sequence's queue."""

    sequence_id: str
    version: int
    after: tuple[str, datetime, str]
    """Lane, due time and enrollment of the last row that was looked at."""


async def ask(conn: Conn, versions: Mapping[str, int]) -> None:
    """Walk through the queues of these sequences, from the start, for these versions."""
    if not versions:  # senders wait meanwhile
        return
    await conn.execute(_ASK, list(versions), list(versions.values()))


async def take(conn: Conn) -> Replan | None:
    """Lock a walk that is not done, to a version that is known; None where there is none that nobody else is at."""
    row = await conn.fetchrow(_NEXT)
    return None if row is None else Replan(row[0], row[1], (row[2], row[3], row[4]))


async def advance(conn: Conn, replan: Replan, *, after: tuple[str, datetime, str]) -> None:
    """Remember how far it has come."""
    await conn.execute(_ADVANCE, replan.sequence_id, *after)


async def finish(conn: Conn, sequence_id: str) -> int:
    """The walk is done, or its sequence is gone."""
    return int((await conn.execute(_FINISH, sequence_id)).rsplit(" ", 1)[1])
