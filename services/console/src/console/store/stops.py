"""The receipts of stops."""

from collections.abc import Sequence
from typing import Final

from chassis.pool import Conn
from sluice_contracts.delivery import SequenceHalted
from sluice_contracts.enrollment import EntryClosed

_CLOSED: Final = """
insert into stop as known (sequence_id, epoch, entry_closed_at)
select sequence_id, epoch, min(at)
from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as news (sequence_id, epoch, at)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id and gone.completed)
group by sequence_id, epoch order by sequence_id collate "C", epoch
on conflict (sequence_id, epoch) do update set entry_closed_at = least(known.entry_closed_at, excluded.entry_closed_at)
"""

_HALTED: Final = """
insert into stop as known (sequence_id, epoch, halted_at, dropped, in_flight)
select distinct on (sequence_id collate "C", epoch) sequence_id, epoch, at, dropped, in_flight
from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[])
    as news (sequence_id, epoch, at, dropped, in_flight)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id and gone.completed)
order by sequence_id collate "C", epoch, at
on conflict (sequence_id, epoch) do update
set halted_at = excluded.halted_at, dropped = excluded.dropped, in_flight = excluded.in_flight
where known.halted_at is null or excluded.halted_at < known.halted_at
"""


async def hear(conn: Conn, receipts: Sequence[EntryClosed | SequenceHalted]) -> None:
    """Keep receipts; said twice, the first one counts."""
    closed = [one for one in receipts if isinstance(one, EntryClosed)]
    halted = [one for one in receipts if isinstance(one, SequenceHalted)]
    if closed:
        await conn.execute(
            _CLOSED,
            [one.sequence_id for one in closed],
            [one.epoch for one in closed],
            [one.closed_at for one in closed],
        )
    if halted:
        await conn.execute(
            _HALTED,
            [one.sequence_id for one in halted],
            [one.epoch for one in halted],
            [one.halted_at for one in halted],
            [one.dropped for one in halted],
            [one.in_flight for one in halted],
        )
