"""What is known of sequences, and the lock at which entering and closing meet."""

from collections.abc import Mapping, Sequence
from typing import Final

from chassis.pool import Conn

from enrollment.domain import sequence as domain
from enrollment.domain.sequence import Status

ENTRY_LOCK: Final = 0x51_02
"""The class of the advisory locks: entering takes a sequence's shared one, closing it the exclusive one."""

_SHARE: Final = """
select pg_advisory_xact_lock_shared($1::int, key)
from (
    select distinct hashtext(sequence_id) as key from unnest($2::text[]) as named (sequence_id) order by key
) as sorted
"""

_EXCLUDE: Final = """
select pg_advisory_xact_lock($1::int, key)
from (
    select distinct hashtext(sequence_id) as key from unnest($2::text[]) as named (sequence_id) order by key
) as sorted
"""

_LOAD: Final = """
select sequence_id, state_version, status, epoch, version, campaign, closed_epoch
from sequence where sequence_id = any($1::text[])
union all
select sequence_id, 0, 'deleted', epoch, null, null, epoch
from deleted_sequence where sequence_id = any($1::text[])
"""

_SAVE: Final = """
insert into sequence as known (sequence_id, state_version, status, epoch, version, campaign, closed_epoch)
select sequence_id, state_version, status, epoch, version, campaign, closed_epoch
from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
    as news (sequence_id, state_version, status, epoch, version, campaign, closed_epoch)
order by news.sequence_id collate "C"
on conflict (sequence_id) do update
set state_version = excluded.state_version, status = excluded.status, epoch = excluded.epoch,
    version = excluded.version, campaign = excluded.campaign, closed_epoch = excluded.closed_epoch
"""


async def share(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Hold entry as it is until the transaction ends: before reading the status, in a statement of its own."""
    await conn.execute(_SHARE, ENTRY_LOCK, sequence_ids)


async def exclude(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Wait for everybody who is entering; nobody enters until the transaction ends."""
    await conn.execute(_EXCLUDE, ENTRY_LOCK, sequence_ids)


async def load(conn: Conn, sequence_ids: Sequence[str]) -> Mapping[str, domain.Sequence]:
    """What is known of each; those never heard of are not in it, erased ones are deleted."""
    return {
        row[0]: domain.Sequence(row[0], row[1], Status(row[2]), row[3], row[4], row[5], row[6])
        for row in await conn.fetch(_LOAD, sequence_ids)
    }


async def save(conn: Conn, sequences: Sequence[domain.Sequence]) -> None:
    """Write sequences."""
    if not sequences:
        return
    await conn.execute(
        _SAVE,
        [one.sequence_id for one in sequences],
        [one.state_version for one in sequences],
        [one.status.value for one in sequences],
        [one.epoch for one in sequences],
        [one.version for one in sequences],
        [one.campaign for one in sequences],
        [one.closed_epoch for one in sequences],
    )
