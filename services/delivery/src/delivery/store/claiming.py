"""Claims: due messages of open gates and lanes that have room, taken before the network is touched."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from chassis.pool import Conn
from messaging.opening import LEVEL_LOCKS, Closed, Level

from delivery.store.locks import GATE_LOCK


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
)
select g.sequence_id, l.lane
from clock cross join gate g cross join unnest($1::text[]) as l (lane) cross join lateral (
    select true as found from pending p
    where p.sequence_id = g.sequence_id and p.lane = l.lane and p.due_active <= clock.now - g.clock_offset
        and p.due_active > coalesce(g.expire_until, '-infinity') and p.token is null
    order by p.due_active limit 1
) as due
where g.open and due.found and not exists (
        select from scope s
        where s.status <> 'running'
            and s.scope in ('all', 'channel:' || split_part(l.lane, ':', 1), 'sender:' || split_part(l.lane, ':', 2))
    )
"""

# The lock, the number under which the claim will stand (who knows it beforehand can give back a claim whose answer was
# lost), and the clock that what is claimed is judged by.
# And whether the service is open (`messaging.opening`): asked along, it costs no round trip.
_BEGIN: Final = """
select nextval('claim_token'), pg_advisory_xact_lock_shared($1), clock_timestamp(),
    not pg_try_advisory_xact_lock_shared($2, hashtext(current_schema() || '.' || $3))
"""

# What was picked comes back as arrays, which the planner takes for short: joined as a table it may choose to walk
# through the whole queue (0.5 s with 1 M stopped rows and 500 places).
_CLAIM: Final = """
with wanted as materialized (
    select g.sequence_id, g.epoch, coalesce(g.follow_version, g.version) as followed, g.clock_offset, w.lane, w.room,
        clock_timestamp() - g.clock_offset as active_now, coalesce(g.expire_until, '-infinity') as expired
    from unnest($1::text[], $2::text[], $3::integer[]) as w (sequence_id, lane, room)
    join gate g on g.sequence_id = w.sequence_id and g.open
    where not exists (
        select from scope s
        where s.status <> 'running'
            and s.scope in ('all', 'channel:' || split_part(w.lane, ':', 1), 'sender:' || split_part(w.lane, ':', 2))
    )
), picked as materialized (
    select d.enrollment_id, w.epoch, w.followed, w.clock_offset
    from wanted w cross join lateral (
        select p.enrollment_id from pending p
        where p.sequence_id = w.sequence_id and p.lane = w.lane and p.due_active <= w.active_now
            and p.due_active > w.expired and p.token is null
        order by p.due_active limit w.room for update skip locked
    ) d
), taken as (
    update pending p set token = $4, epoch = one.epoch, attempt = p.attempt + 1
    from unnest(
        array(select enrollment_id from picked), array(select epoch from picked), array(select followed from picked),
        array(select clock_offset from picked)
    ) as one (enrollment_id, epoch, followed, clock_offset)
    where p.enrollment_id = one.enrollment_id
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


async def probe(conn: Conn, lanes: Sequence[str]) -> list[tuple[str, str]]:
    """The (sequence, lane) pairs that have something due, of open gates."""
    return [(row[0], row[1]) for row in await conn.fetch(_PROBE, lanes)]


async def begin(conn: Conn) -> tuple[int, datetime]:
    """Share the gates until the transaction ends; the token of the claim to be made, and the database's clock.

    Raises Closed where it is not known yet what this service has said.
    """
    row = await conn.fetchrow(_BEGIN, GATE_LOCK, LEVEL_LOCKS, Level.OPEN)
    assert row is not None
    if not row[3]:
        raise Closed
    return row[0], row[2]


async def claim(conn: Conn, rooms: Mapping[tuple[str, str], int], *, token: int, owner: str) -> list[Claimed]:
    """Take at most `rooms[(sequence, lane)]` due messages of each.

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
    )
    return [Claimed._make(row) for row in rows]
