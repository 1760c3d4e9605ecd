"""The books of each sequence, as delivery counted them last."""

from collections.abc import Sequence
from typing import Final

from chassis.pool import Conn
from sluice_contracts.delivery import MessagesCounted

_HEAR: Final = """
insert into books as known (sequence_id, books_version, planned, pending, claimed, sent, failed, dropped, expired,
    unknown, as_of)
select sequence_id, books_version, planned, pending, claimed, sent, failed, dropped, expired, unknown, as_of
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::timestamptz[])
    as news (sequence_id, books_version, planned, pending, claimed, sent, failed, dropped, expired, unknown, as_of)
where not exists (select from gone_sequence as gone where gone.sequence_id = news.sequence_id)
order by sequence_id collate "C"
on conflict (sequence_id) do update
set books_version = excluded.books_version, planned = excluded.planned, pending = excluded.pending,
    claimed = excluded.claimed, sent = excluded.sent, failed = excluded.failed, dropped = excluded.dropped,
    expired = excluded.expired, unknown = excluded.unknown, as_of = excluded.as_of
where excluded.books_version > known.books_version
"""

_DROP: Final = "delete from books where sequence_id = any($1::text[])"


async def hear(conn: Conn, counted: Sequence[MessagesCounted]) -> None:
    """Take over newer books, each of another sequence."""
    names = (
        "books_version",
        "planned",
        "pending",
        "claimed",
        "sent",
        "failed",
        "dropped",
        "expired",
        "unknown",
        "as_of",
    )
    columns = [[getattr(one, name) for one in counted] for name in names]
    await conn.execute(_HEAR, [one.sequence_id for one in counted], *columns)


async def drop(conn: Conn, sequence_ids: Sequence[str]) -> None:
    """Forget the books of sequences that are gone."""
    await conn.execute(_DROP, sequence_ids)
