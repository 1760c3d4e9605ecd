"""Claims: due messages of open gates and lanes that have room, taken before the network is touched."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from chassis.pool import Conn
from messaging.opening import LEVEL_LOCKS, Closed, Level

from delivery.store.locks import GATE_LOCK

Place = tuple[str, str]
"""A sequence and a lane."""


class Claimed(NamedTuple):
    """One message that this process alone may send now, with what is needed to do so."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    entered_version: int
    version: int
    effective: int
    """The version that the enrollment runs under."""
    step_id: str
    lane: str
    due_at: datetime
    """What it was planned for, however often it was tried or held since."""
    attempt: int
    ended: Sequence[str]
    token: int
    epoch: int
    channel: str
    """The lane without its sender."""
    attributes: str | None
    """JSON. This and the other two are None where the contact, as it was enrolled, has not been heard of."""
    tags: str | None
    addresses: str | None
    in_doubt: bool = False
    """An earlier attempt may have arrived."""
    timezone: str | None = None
    opted_out_of: Sequence[str] | None = None
    """Channels; `*` for all."""
    contact_version: int | None = None
    """Its `state_version`."""
    contact_at: int | None = None
    """Where in its topic the contact's record was read: a newer one stands behind that."""


# The clock is read first: compared as it stands, a volatile one is no condition for an index, and every row that is due
# later is looked at. Order and limit keep the planner at that index, whatever it believes of the queue.
_PROBE: Final = """
with clock as materialized (
    select clock_timestamp() as now
), places as materialized (
    select g.sequence_id, l.lane, g.clock_offset, coalesce(g.expire_until, '-infinity') as expired
    from gate g cross join unnest($1::text[]) as l (lane)
    where g.open and (g.sequence_id, l.lane) not in (
            select sequence_id, lane from unnest($2::text[], $3::text[]) as known (sequence_id, lane)
        )
        and not exists (
            select from scope s
            where s.status <> 'running' and s.scope in (
                'all', 'channel:' || split_part(l.lane, ':', 1), 'sender:' || split_part(l.lane, ':', 2)
            )
        )
)
select w.sequence_id, w.lane
from clock cross join places w cross join lateral (
    select true as found from pending p
    where p.sequence_id = w.sequence_id and p.lane = w.lane and p.due_active <= clock.now - w.clock_offset
        and p.due_active > w.expired and p.token is null
    order by p.due_active limit 1
) as due
where due.found
"""

# The lock, the number under which the claim will stand (who knows it beforehand can give back a claim whose answer was
# lost), and the clock that what is claimed is judged by.
# And whether the service is open (`messaging.opening`): asked along, it costs no round trip.
_BEGIN: Final = """
select nextval('claim_token'), pg_advisory_xact_lock_shared($1), clock_timestamp(),
    not pg_try_advisory_xact_lock_shared($2, hashtext(current_schema() || '.' || $3))
"""

# What was picked comes back as arrays, which the planner takes for short: joined as a table it may choose to walk
# through the whole queue (0.5 s with 1 M stopped rows and 500 places). It names them by where they are: so none is
# looked up again. One that was changed since this statement began is somewhere else, and is left for the next claim.
_CLAIM: Final = """
with wanted as materialized (
    select g.sequence_id, g.epoch, coalesce(g.follow_version, g.version) as followed, g.clock_offset, w.lane, w.room,
        clock_timestamp() - g.clock_offset as active_now, coalesce(g.expire_until, '-infinity') as expired,
        coalesce(w.since - g.clock_offset, '-infinity') as since
    from unnest($1::text[], $2::text[], $3::integer[], $6::timestamptz[]) as w (sequence_id, lane, room, since)
    join gate g on g.sequence_id = w.sequence_id and g.open
    where not exists (
        select from scope s
        where s.status <> 'running'
            and s.scope in ('all', 'channel:' || split_part(w.lane, ':', 1), 'sender:' || split_part(w.lane, ':', 2))
    )
), picked as materialized (
    select d.row, w.epoch, w.followed, w.clock_offset
    from wanted w cross join lateral (
        select p.ctid as row from pending p
        where p.sequence_id = w.sequence_id and p.lane = w.lane and p.due_active <= w.active_now
            and p.due_active > w.expired and p.due_active >= w.since and p.token is null
        order by p.due_active limit w.room for update skip locked
    ) d
), taken as (
    update pending p set token = $4, epoch = one.epoch, attempt = p.attempt + 1
    from unnest(
        array(select row from picked), array(select epoch from picked), array(select followed from picked),
        array(select clock_offset from picked)
    ) as one (row, epoch, followed, clock_offset)
    where p.ctid = one.row
    returning p.enrollment_id, p.sequence_id, p.contact_id, p.entered_version, p.version,
        greatest(p.entered_version, one.followed) as effective, p.step_id, p.lane,
        coalesce(p.due_own, p.due_active) + one.clock_offset as due_at, p.attempt, p.ended, p.token, p.epoch,
        p.contact_offset, p.in_doubt
), held as (
    insert into claim (token, owner, claimed_at, enrollment_ids)
    select $4, $5, clock_timestamp(), array_agg(enrollment_id) from taken having count(*) > 0
), booked as (
    insert into books_delta (sequence_id, pending, claimed)
    select sequence_id, -count(*), count(*) from taken group by sequence_id
)
select t.enrollment_id::text, t.sequence_id, t.contact_id, t.entered_version, t.version, t.effective, t.step_id,
    t.lane, t.due_at, t.attempt, t.ended, t.token, t.epoch, split_part(t.lane, ':', 1), c.attributes, c.tags,
    c.addresses, t.in_doubt, c.timezone, case when c.opted_out then '{*}' else c.opted_out_of end, c.state_version,
    c.source_offset
from taken t
left join contact c on c.contact_id = t.contact_id and c.source_offset >= t.contact_offset
    and coalesce(c.gone_offset < t.contact_offset, true)
"""


async def probe(conn: Conn, lanes: Sequence[str], *, besides: Collection[Place] = ()) -> list[Place]:
    """The places that have something due, of open gates; `besides` are not looked at."""
    known = [sequence_id for sequence_id, _ in besides], [lane for _, lane in besides]
    return [(row[0], row[1]) for row in await conn.fetch(_PROBE, lanes, *known)]


async def begin(conn: Conn) -> tuple[int, datetime]:
    """Share the gates until the transaction ends; the token of the claim to be made, and the database's clock.

    Raises Closed where it is not known yet what this service has said.
    """
    row = await conn.fetchrow(_BEGIN, GATE_LOCK, LEVEL_LOCKS, Level.OPEN)
    assert row is not None
    if not row[3]:
        raise Closed
    return row[0], row[2]


async def claim(
    conn: Conn,
    rooms: Mapping[Place, int],
    *,
    token: int,
    owner: str,
    since: Mapping[Place, datetime | None] = MappingProxyType({}),
) -> list[Claimed]:
    """Take at most `rooms[place]` due messages of each, those that have been due for longest.

    What became due before `since[place]` is passed over: the caller has seen it taken, and its rows, which nobody can
    clear away while somebody holds an old snapshot, need not be walked through again.

    The caller shares the gates (`begin`) since before this statement and to its commit: a stop that holds the
    exclusive lock has seen every claim made before it, and no claim made after it sees an open gate.
    """
    rows = await conn.fetch(
        _CLAIM,
        [sequence_id for sequence_id, _ in rooms],
        [lane for _, lane in rooms],
        list(rooms.values()),
        token,
        owner,
        [since.get(place) for place in rooms],
    )
    return [Claimed._make(row) for row in rows]
