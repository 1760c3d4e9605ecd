"""Whether everything, a channel or a sender is suspended."""

from collections.abc import Sequence
from typing import Final

from chassis.pool import Conn
from sluice_contracts.delivery import DeliveryRestored, DeliverySuspended

_HEAR: Final = """
insert into scope as known (scope, epoch, suspended, reason, in_flight, at)
select distinct on (scope collate "C") scope, epoch, suspended, reason, in_flight, at
from unnest($1::text[], $2::bigint[], $3::boolean[], $4::text[], $5::bigint[], $6::timestamptz[])
    as news (scope, epoch, suspended, reason, in_flight, at)
order by scope collate "C", epoch desc, suspended
on conflict (scope) do update
set epoch = excluded.epoch, suspended = excluded.suspended, reason = excluded.reason, in_flight = excluded.in_flight,
    at = excluded.at
where excluded.epoch > known.epoch or (excluded.epoch = known.epoch and known.suspended and not excluded.suspended)
"""


async def hear(conn: Conn, news: Sequence[DeliverySuspended | DeliveryRestored]) -> None:
    """Keep the newest word about each scope, by its epoch."""
    if not news:
        return
    await conn.execute(
        _HEAR,
        [one.scope for one in news],
        [one.epoch for one in news],
        [isinstance(one, DeliverySuspended) for one in news],
        [one.reason if isinstance(one, DeliverySuspended) else None for one in news],
        [one.in_flight if isinstance(one, DeliverySuspended) else None for one in news],
        [one.halted_at if isinstance(one, DeliverySuspended) else one.restored_at for one in news],
    )
