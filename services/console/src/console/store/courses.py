"""Sequences, as they are looked at: how each runs, its receipts, and who has erased it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from campaign.active_clock import ActiveClock, Stretch
from campaign.definition import read_definition
from chassis.pool import Conn
from sluice_contracts.base import parse_timestamp

from console.domain.course import Course, Pause, Published


@dataclass(frozen=True, slots=True)
class Known:
    """One sequence with its newest state; of a deleted one the state may be gone."""

    sequence_id: str
    status: str
    state: Mapping[str, Any]
    epoch: int
    deleted: bool
    erased: bool


@dataclass(frozen=True, slots=True)
class Told:
    """One version as it was published."""

    version: int
    definition: dict[str, Any]
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one stop."""

    epoch: int
    entry_closed_at: datetime | None
    halted_at: datetime | None
    dropped: int | None
    in_flight: int | None


@dataclass(frozen=True, slots=True)
class Erased:
    """One service's receipt of an erasure."""

    service: str
    rows: dict[str, int]
    at: datetime | None


_LIST: Final = """
select sequence_id, status, state from sequence where sequence_id > $1 order by sequence_id limit $2
"""

_FIND: Final = """
select coalesce(s.sequence_id, g.sequence_id), coalesce(s.status, 'deleted'), coalesce(s.state, '{}'),
    coalesce((s.state ->> 'epoch')::bigint, g.epoch), g.sequence_id is not null, coalesce(g.completed, false)
from (select $1::text as sequence_id) as asked
left join sequence as s on s.sequence_id = asked.sequence_id
left join gone_sequence as g on g.sequence_id = asked.sequence_id
where s.sequence_id is not null or g.sequence_id is not null
"""

_VERSIONS: Final = """
select version, definition, published_at from version where sequence_id = $1 order by version
"""

_STRETCHES: Final = """
select paused_at, resumed_at, offset_before_seconds, offset_after_seconds, reason, overdue from stretch
where sequence_id = $1 order by paused_at
"""

_RECEIPTS: Final = """
select epoch, entry_closed_at, halted_at, dropped, in_flight from stop where sequence_id = $1 and epoch = $2
"""

_ERASED: Final = "select service, rows, at from receipt where sequence_id = $1 order by service"


async def listed(conn: Conn, *, after: str, limit: int) -> list[Known]:
    """Sequences by id."""
    return [_known(row[0], row[1], row[2]) for row in await conn.fetch(_LIST, after, limit)]


async def find(conn: Conn, sequence_id: str) -> Known | None:
    """One sequence, a deleted one too."""
    row = await conn.fetchrow(_FIND, sequence_id)
    if row is None:
        return None
    return Known(row[0], row[1], orjson.loads(row[2]), row[3], row[4], row[5])


async def versions(conn: Conn, sequence_id: str) -> list[Told]:
    """Its versions, the first one first."""
    return [Told(row[0], orjson.loads(row[1]), row[2]) for row in await conn.fetch(_VERSIONS, sequence_id)]


async def receipts(conn: Conn, sequence_id: str, epoch: int) -> Receipts | None:
    """The receipts of its last stop."""
    row = await conn.fetchrow(_RECEIPTS, sequence_id, epoch)
    return None if row is None else Receipts(*row)


async def erased(conn: Conn, sequence_id: str) -> list[Erased]:
    """Who has erased it."""
    return [Erased(row[0], orjson.loads(row[1]), row[2]) for row in await conn.fetch(_ERASED, sequence_id)]


async def course(conn: Conn, known: Known) -> Course:
    """How a sequence runs."""
    past = [
        Pause(Stretch(row[0], row[1], timedelta(seconds=row[2]), timedelta(seconds=row[3])), row[4], row[5])
        for row in await conn.fetch(_STRETCHES, known.sequence_id)
    ]
    return course_of(known, await versions(conn, known.sequence_id), past)


def course_of(known: Known, told: Sequence[Told], past: Sequence[Pause]) -> Course:
    """How a sequence runs; a version that is no definition is passed over."""
    state = known.state
    published: dict[int, Published] = {}
    for one in told:
        try:
            published[one.version] = Published(read_definition(one.version, one.definition), one.published_at)
        except (KeyError, TypeError, ValueError):
            continue
    paused = state.get("paused_at") if known.status != "active" else None
    clock = ActiveClock(
        timedelta(seconds=state.get("clock_offset_seconds", 0.0)),
        None if paused is None else parse_timestamp(paused),
        [one.stretch for one in past],
    )
    return Course(
        known.sequence_id,
        known.status,
        state.get("version"),
        state.get("follow_version"),
        clock,
        published,
        state.get("reason") if known.status != "active" else None,
        past,
    )


def _known(sequence_id: str, status: str, state: str) -> Known:
    read = orjson.loads(state)
    return Known(sequence_id, status, read, read["epoch"], status == "deleted", False)
