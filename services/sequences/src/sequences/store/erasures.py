"""Deleted sequences on their way to nothing but an id."""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Rows
from typing import Final

import orjson
from chassis.pool import Conn
from messaging import Cause
from sluice_contracts.erasure import SequenceErased

from sequences.domain.erasure import Completion, Erasure

_LOCK_FENCED: Final = """
select sequence_id, epoch, deletion, versions_erased
from sequence
where status = 'deleted' and erased_at is null and entry_closed_at is not null and halted_at is not null
order by sequence_id
limit $1
for update skip locked
"""

_COUNT_ERASED: Final = """
update sequence set versions_erased = sequence.versions_erased + gone.versions
from unnest($1::text[], $2::bigint[]) as gone (sequence_id, versions)
where sequence.sequence_id = gone.sequence_id
"""

_MARK_ERASED: Final = "update sequence set erased_at = clock_timestamp() where sequence_id = any($1::text[])"

_ADD_RECEIPTS: Final = """
insert into erasure_receipt (sequence_id, service, rows)
select given.sequence_id, given.service, given.rows
from unnest($1::text[], $2::text[], $3::jsonb[]) as given (sequence_id, service, rows)
join sequence on sequence.sequence_id = given.sequence_id and sequence.status = 'deleted'
on conflict (sequence_id, service) do nothing
"""

_COMPLETE: Final = """
select s.sequence_id, s.epoch, s.deletion, jsonb_object_agg(r.service, r.rows) as rows
from sequence s
join erasure_receipt r on r.sequence_id = s.sequence_id
where s.sequence_id = any($1::text[]) and s.erased_at is not null
group by s.sequence_id
having array_agg(r.service) @> $2::text[]
"""

_WAITING: Final = """
select sequence_id from sequence
where status = 'deleted' and erased_at is not null and sequence_id > $1
order by sequence_id
limit $2
"""

_FINISH: Final = """
with gone as (
    delete from sequence where sequence_id = any($1::text[]) returning sequence_id, epoch, state_version
)
insert into deleted_sequence (sequence_id, epoch, state_version)
select sequence_id, epoch, state_version from gone
"""


async def lock_fenced(conn: Conn, *, limit: int) -> list[Erasure]:
    """Deleted sequences whose receipts are in and whose own rows are still here; another process skips them."""
    return [
        Erasure(row["sequence_id"], row["epoch"], Cause(**orjson.loads(row["deletion"])), row["versions_erased"])
        for row in await conn.fetch(_LOCK_FENCED, limit)
    ]


async def count_erased(conn: Conn, versions: Iterable[tuple[str, int]]) -> None:
    """Add up, for the receipt, what a batch has erased."""
    gone = Counter(sequence_id for sequence_id, _ in versions)
    if gone:
        await conn.execute(_COUNT_ERASED, list(gone), list(gone.values()))


async def mark_erased(conn: Conn, sequence_ids: Iterable[str]) -> None:
    """Note that no version of these is left."""
    await conn.execute(_MARK_ERASED, list(sequence_ids))


async def add_receipts(conn: Conn, receipts: Rows[SequenceErased]) -> None:
    """Keep receipts of deleted sequences, the first of each service; all others change nothing."""
    await conn.execute(
        _ADD_RECEIPTS,
        [receipt.sequence_id for receipt in receipts],
        [receipt.service for receipt in receipts],
        [orjson.dumps(receipt.rows).decode() for receipt in receipts],
    )


async def complete(conn: Conn, sequence_ids: Iterable[str], *, services: Iterable[str]) -> list[Completion]:
    """Those of these locked sequences that all `services` have erased."""
    rows = await conn.fetch(_COMPLETE, list(sequence_ids), list(services))
    return [
        Completion(row["sequence_id"], row["epoch"], Cause(**orjson.loads(row["deletion"])), _tables(row["rows"]))
        for row in rows
    ]


async def waiting(conn: Conn, *, after: str, limit: int) -> list[str]:
    """Deleted sequences that wait for the receipts of others, in the order of their ids."""
    return [row[0] for row in await conn.fetch(_WAITING, after, limit)]


async def finish(conn: Conn, sequence_ids: Iterable[str]) -> None:
    """Leave nothing of these but their ids."""
    await conn.execute(_FINISH, list(sequence_ids))


def _tables(text: str) -> Mapping[str, Mapping[str, int]]:
    rows: dict[str, dict[str, int]] = orjson.loads(text)
    return rows
