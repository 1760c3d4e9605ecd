"""Rates that all sender processes share: one row per lane, held from before a claim to its commit."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from chassis.pool import Conn

_HOLD: Final = """
with held as materialized (
    select lane, spent_until from lane_rate where lane = any($1::text[]) order by lane for update
)
select lane, spent_until, clock_timestamp() from held
"""

_ADD: Final = """
insert into lane_rate (lane, spent_until)
select lane, clock_timestamp() - interval '1 day' from unnest($1::text[]) as row (lane)
order by lane
on conflict (lane) do nothing
"""

_SPEND: Final = """
update lane_rate r set spent_until = row.spent_until
from unnest($1::text[], $2::timestamptz[]) as row (lane, spent_until)
where r.lane = row.lane
"""


class Bucket(NamedTuple):
    """How far a lane's rate is used up, and the database's clock when that was read."""

    spent_until: datetime
    now: datetime


async def hold(conn: Conn, lanes: Sequence[str]) -> dict[str, Bucket]:
    """Lock these lanes' rates until the transaction ends. The caller shares the gates already: in that order."""
    held = await conn.fetch(_HOLD, lanes)
    if len(held) < len(lanes):
        await conn.execute(_ADD, sorted(lanes))
        held = await conn.fetch(_HOLD, lanes)
    return {row[0]: Bucket(row[1], row[2]) for row in held}


async def spend(conn: Conn, spent_until: Mapping[str, datetime]) -> None:
    """Write how far these lanes' rates are used up now."""
    await conn.execute(_SPEND, list(spent_until), list(spent_until.values()))
