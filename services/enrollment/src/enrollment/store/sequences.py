"""What is known of sequences, and the lock at which entering and closing meet."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from campaign.rules import Rules
from chassis.pool import Conn

from enrollment.domain import sequence as domain
from enrollment.domain.sequence import Status
from enrollment.store.versions import rules_of

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
select sequence.sequence_id, sequence.state_version, sequence.status, sequence.epoch, sequence.version,
    sequence.campaign, sequence.closed_epoch, sequence.follow_version, sequence.paused_epoch, version.rules::text
from sequence
left join version on version.sequence_id = sequence.sequence_id and version.version = sequence.version
where sequence.sequence_id = any($1::text[])
union all
select sequence_id, 0, 'deleted', epoch, null, null, epoch, null, null, null
from deleted_sequence where sequence_id = any($1::text[])
"""

_TRIGGERED: Final = """
select sequence.sequence_id, version.rules::text
from sequence
join version on version.sequence_id = sequence.sequence_id and version.version = sequence.version
where on_created or on_updated
"""

_SAVE: Final = """
insert into sequence as known (sequence_id, state_version, status, epoch, version, campaign, closed_epoch,
    follow_version, paused_epoch, on_created, on_updated)
select sequence_id, state_version, status, epoch, version, campaign, closed_epoch, follow_version, paused_epoch,
    on_created, on_updated
from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::boolean[], $11::boolean[])
    as news (sequence_id, state_version, status, epoch, version, campaign, closed_epoch, follow_version, paused_epoch,
        on_created, on_updated)
order by news.sequence_id collate "C"
on conflict (sequence_id) do update
set state_version = excluded.state_version, status = excluded.status, epoch = excluded.epoch,
    version = excluded.version, campaign = excluded.campaign, closed_epoch = excluded.closed_epoch,
    follow_version = excluded.follow_version, paused_epoch = excluded.paused_epoch,
    on_created = excluded.on_created, on_updated = excluded.on_updated
"""


async def share(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Hold entry as it is until the transaction ends: before reading the status, in a statement of its own."""
    await conn.execute(_SHARE, ENTRY_LOCK, sequence_ids)


async def exclude(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Wait for everybody who is entering; nobody enters until the transaction ends."""
    await conn.execute(_EXCLUDE, ENTRY_LOCK, sequence_ids)


async def load(conn: Conn, sequence_ids: Sequence[str]) -> Mapping[str, domain.Sequence]:
    """What is known of each; those never heard of are not in it, erased ones are deleted."""
    return {row[0]: _sequence(row) for row in await conn.fetch(_LOAD, sequence_ids)}


async def triggered(conn: Conn) -> dict[str, Rules]:
    """The sequences that contacts enter by themselves."""
    return {row[0]: rules_of(row[1]) for row in await conn.fetch(_TRIGGERED)}


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
        [one.follow_version for one in sequences],
        [one.paused_epoch for one in sequences],
        ["created" in one.rules.triggers for one in sequences],
        ["updated" in one.rules.triggers for one in sequences],
    )


def _sequence(row: Any) -> domain.Sequence:
    return domain.Sequence(
        sequence_id=row[0],
        state_version=row[1],
        status=Status(row[2]),
        epoch=row[3],
        version=row[4],
        campaign=row[5],
        closed_epoch=row[6],
        follow_version=row[7],
        paused_epoch=row[8],
        rules=rules_of(row[9]),
    )
