"""Claims: due messages of open gates and lanes that have room, taken before the network is touched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.pool import Conn


@dataclass(frozen=True, slots=True)
class Claimed:
    """One message that this process alone may send now, with what is needed to do so."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    entered_version: int
    version: int
    newest: int
    step_id: str
    lane: str
    due_at: datetime
    attempt: int
    ended: tuple[str, ...]
    token: int
    epoch: int
    attributes: str | None
    """JSON; None where the contact has not been heard of."""
    tags: str | None
    addresses: str | None
    timezone: str | None
    language: str | None
    gone: bool

    @property
    def channel(self) -> str:
        """The lane without its sender."""
        return self.lane.partition(":")[0]


_PROBE: Final = """
select g.sequence_id, l.lane
from gate g cross join unnest($1::text[]) as l (lane)
where g.open and exists (
    select from pending p
    where p.sequence_id = g.sequence_id and p.lane = l.lane
        and p.due_active <= clock_timestamp() - g.clock_offset and p.token is null
)
"""

_CLAIM: Final = """
with batch as materialized (
    select nextval('claim_token') as token
), wanted as materialized (
    select g.sequence_id, g.epoch, g.version, g.clock_offset, w.lane, w.room,
        clock_timestamp() - g.clock_offset as active_now
    from unnest($1::text[], $2::text[], $3::integer[]) as w (sequence_id, lane, room)
    join gate g on g.sequence_id = w.sequence_id and g.open
), picked as (
    select d.enrollment_id, w.epoch, w.version as newest, w.clock_offset
    from wanted w cross join lateral (
        select p.enrollment_id from pending p
        where p.sequence_id = w.sequence_id and p.lane = w.lane and p.due_active <= w.active_now and p.token is null
        order by p.due_active limit w.room for update skip locked
    ) d
), taken as (
    update pending p set token = batch.token, epoch = picked.epoch, attempt = p.attempt + 1
    from picked, batch
    where p.enrollment_id = picked.enrollment_id
    returning p.enrollment_id, p.sequence_id, p.contact_id, p.entered_version, p.version, picked.newest, p.step_id,
        p.lane, p.due_active + picked.clock_offset as due_at, p.attempt, p.ended, p.token, p.epoch
), held as (
    insert into claim (token, owner, claimed_at, enrollment_ids)
    select batch.token, $4, clock_timestamp(), array_agg(taken.enrollment_id)
    from taken, batch group by batch.token
), booked as (
    insert into books_delta (sequence_id, pending, claimed)
    select sequence_id, -count(*), count(*) from taken group by sequence_id
)
select t.enrollment_id::text, t.sequence_id, t.contact_id, t.entered_version, t.version, t.newest, t.step_id, t.lane,
    t.due_at, t.attempt, t.ended, t.token, t.epoch,
    c.attributes, c.tags, c.addresses, c.timezone, c.language, coalesce(c.gone, false) as gone
from taken t left join contact c on c.contact_id = t.contact_id
"""


async def probe(conn: Conn, lanes: Sequence[str]) -> list[tuple[str, str]]:
    """The (sequence, lane) pairs that have something due, of open gates."""
    return [(row[0], row[1]) for row in await conn.fetch(_PROBE, lanes)]


async def claim(conn: Conn, rooms: Mapping[tuple[str, str], int], *, owner: str) -> list[Claimed]:
    """Take at most `rooms[(sequence, lane)]` due messages of each.

    The caller shares the gates (`locks.share_gates`) since before this statement and to its commit: a stop that holds
    the exclusive lock has seen every claim made before it, and no claim made after it sees an open gate.
    """
    rows = await conn.fetch(
        _CLAIM,
        [sequence_id for sequence_id, _ in rooms],
        [lane for _, lane in rooms],
        list(rooms.values()),
        owner,
    )
    return [Claimed(*row) for row in rows]
