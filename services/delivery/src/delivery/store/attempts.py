"""What came of attempts, added up by sender processes; and which lanes these claim from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from chassis.pool import Conn

from delivery.domain.breaker import Count

_ADD: Final = """
insert into attempt_tally (lane, servers, code, attempts, ended_at)
select lane, servers, code, attempts, clock_timestamp()
from unnest($1::text[], $2::smallint[], $3::text[], $4::integer[]) as row (lane, servers, code, attempts)
"""

# Of a lane counts what has ended since its scopes last changed: what was so before a restore says nothing of now.
_COUNT: Final = """
with since as materialized (
    select l.lane, greatest(max(s.changed_at), clock_timestamp() -
        case when bool_or(s.trial) then $2::interval else $1::interval end) as since
    from (select distinct lane from attempt_tally) l
    left join scope s
        on s.scope in ('all', 'channel:' || split_part(l.lane, ':', 1), 'sender:' || split_part(l.lane, ':', 2))
    group by l.lane
)
select t.lane, t.servers, t.code, sum(t.attempts)::bigint
from attempt_tally t
join since s on s.lane = t.lane and t.ended_at > s.since
group by t.lane, t.servers, t.code
"""

_FORGET: Final = "delete from attempt_tally where ended_at < clock_timestamp() - $1::interval"

_SERVE: Final = """
insert into lane_server (owner, lane, seen_at)
select $1, lane, clock_timestamp() from unnest($2::text[]) as row (lane)
on conflict (owner, lane) do update set seen_at = excluded.seen_at
"""

_LEAVE: Final = "delete from lane_server where owner = $1"

_FORGET_SERVERS: Final = "delete from lane_server where seen_at < clock_timestamp() - $1::interval"

# From lane to lane along the index: what it costs grows with the lanes of open sequences, not with their messages.
_UNSERVED: Final = """
with recursive waiting as (
    select g.sequence_id, (select min(p.lane) from pending p where p.sequence_id = g.sequence_id) as lane
    from gate g where g.open
    union all
    select w.sequence_id, (
        select min(p.lane) from pending p where p.sequence_id = w.sequence_id and p.lane > w.lane
    )
    from waiting w where w.lane is not null
)
select distinct w.lane from waiting w
where split_part(w.lane, ':', 1) = any($1::text[]) and not exists (select from lane_server l where l.lane = w.lane)
order by w.lane
"""


class Attempt(NamedTuple):
    """How an attempt ended, and where."""

    lane: str
    servers: int
    """One of a few groups of servers, where a channel's messages go to several; else 0."""
    code: str | None
    """None: the provider did its work."""


async def add(conn: Conn, attempts: Mapping[Attempt, int]) -> None:
    """Add what came of attempts."""
    await conn.execute(
        _ADD,
        [one.lane for one in attempts],
        [one.servers for one in attempts],
        [one.code for one in attempts],
        list(attempts.values()),
    )


async def count(conn: Conn, *, window: timedelta, kept: timedelta) -> dict[str, list[Count]]:
    """The attempts of each lane, by groups of servers: of the window, or of all of its trial, while they are kept."""
    counts: dict[str, dict[int, Count]] = defaultdict(lambda: defaultdict(Count))
    for lane, servers, code, attempts in await conn.fetch(_COUNT, window, kept):
        counts[lane][servers] += Count(attempts, {} if code is None else {code: attempts})
    return {lane: list(by_servers.values()) for lane, by_servers in counts.items()}


async def forget(conn: Conn, *, older_than: timedelta) -> None:
    """Drop what nobody counts any more."""
    await conn.execute(_FORGET, older_than)


async def serve(conn: Conn, owner: str, lanes: Sequence[str]) -> None:
    """This process claims from these lanes."""
    await conn.execute(_SERVE, owner, lanes)


async def leave(conn: Conn, owner: str) -> None:
    """It claims no more."""
    await conn.execute(_LEAVE, owner)


async def forget_servers(conn: Conn, *, older_than: timedelta) -> None:
    """Drop processes that were not seen for so long."""
    await conn.execute(_FORGET_SERVERS, older_than)


async def unserved(conn: Conn, channels: Sequence[str]) -> list[str]:
    """The lanes of these channels in which something waits and from which nobody claims."""
    return [row[0] for row in await conn.fetch(_UNSERVED, channels)]
