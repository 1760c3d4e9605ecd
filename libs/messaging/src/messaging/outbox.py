"""Outgoing records, written in the transaction that they follow from; the relay publishes them."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson
from chassis.pool import Conn
from sluice_contracts import topics
from sluice_contracts.envelope import HEADERS

URGENT: Final = 0
BULK: Final = 1
LANES: Final = {URGENT: "urgent", BULK: "bulk"}

RECORD_BYTES_MAX: Final = 2_000_000
"""A little less than the topics take (`max.message.bytes`): one row that Kafka refuses would stop its lane for good."""

Headers = Sequence[tuple[str, bytes | None]]


class RecordTooLarge(Exception):
    """A record that no topic would take."""


class Outgoing(NamedTuple):
    """One record to publish; `headers` None stands for the usual content type alone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: bytes | None = None


class Queued(NamedTuple):
    """One record as the relay reads it."""

    seq: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: bytes | None


def lane_of(topic: str) -> int:
    """Stops never wait behind bulk."""
    return URGENT if topic in topics.URGENT else BULK


def pack_headers(headers: Headers) -> bytes:
    """Headers as one value of a row."""
    return orjson.dumps([[name, None if value is None else b64encode(value).decode()] for name, value in headers])


def unpack_headers(packed: bytes | None, *, value: bytes | None) -> list[tuple[str, bytes | None]]:
    """The headers of a row; a tombstone has none."""
    if packed is None:
        return [] if value is None else list(HEADERS)
    return [(name, None if text is None else b64decode(text)) for name, text in orjson.loads(packed)]


def size(*parts: bytes | None) -> int:
    """Bytes of a record, near enough."""
    return sum(len(part) for part in parts if part is not None)


_WRITE: Final = """
with written as (
    insert into outbox (lane, topic, key, value, headers)
    select lane, topic, key, value, headers
    from unnest($1::smallint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])
        with ordinality as row (lane, topic, key, value, headers, place)
    order by place
)
select pg_notify(current_schema() || '.outbox', '')
"""

_READ: Final = """
select seq, topic, key, value, headers from (
    select seq, topic, key, value, headers, sum(size) over (order by seq) - size as before
    from (
        select seq, topic, key, value, headers, coalesce(octet_length(value), 0) as size
        from outbox where lane = $1 and seq > $2 order by seq limit $3
    ) as oldest
) as measured
where before < $4 order by seq
"""

# With how far that is published, in one statement: what is published is known to be, or stands in the outbox.
_FORGET: Final = """
with gone as (
    delete from outbox where lane = $5 and seq = any($1::bigint[])
), moved as (
    insert into said (topic, partition, next_offset)
    select topic, partition, next_offset
    from unnest($2::text[], $3::integer[], $4::bigint[]) as moved (topic, partition, next_offset)
    order by topic, partition
    on conflict (topic, partition) do update set next_offset = greatest(said.next_offset, excluded.next_offset)
)
select pg_current_xact_id()::text::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint
"""


async def write(conn: Conn, rows: Sequence[Outgoing]) -> None:
    """Add records in this order, and wake the relay when the transaction commits. Raises RecordTooLarge."""
    for row in rows:
        if size(row.key, row.value, row.headers) > RECORD_BYTES_MAX:
            raise RecordTooLarge(row.topic)
    await conn.execute(
        _WRITE,
        [lane_of(row.topic) for row in rows],
        [row.topic for row in rows],
        [row.key for row in rows],
        [row.value for row in rows],
        [row.headers for row in rows],
    )


class Passed(NamedTuple):
    """What a transaction that forgets records tells of the others."""

    xid: int
    """Its own id."""
    ended: int
    """Those with lower ids than this have ended: whoever reads now sees all that they have written."""


@dataclass(slots=True)
class Low:
    """Up to which number the outbox is empty for good, and need not be walked through again.

    A transaction gets its id before it takes a number (the column's default sees to that). So all that took lower
    numbers than the last that was read have lower ids than the transaction that forgets what was read. Once those have
    ended, one more reading finds whatever will ever be up to there; when that is published, nothing is left.
    """

    seq: int = 0
    _next: tuple[int, int] | None = None
    """The number to go to, and the id of the transaction before which all have to have ended."""
    _ended: int = 0
    """As it was before the last reading."""

    def published(self, last: int, passed: Passed) -> None:
        """All that was read, the last of it under this number, is published and forgotten."""
        if self._next is not None:
            seq, xid = self._next
            if self._ended >= xid and last >= seq:
                self.seq, self._next = seq, None
        self._ended = passed.ended
        if self._next is None:
            self._next = last, passed.xid


async def read(conn: Conn, lane: int, *, above: int = 0, limit: int, bytes_max: int) -> list[Queued]:
    """The oldest records of a lane that are visible, with higher numbers than `above`: at least one, and no more once
    `bytes_max` is reached."""
    return [Queued(*row) for row in await conn.fetch(_READ, lane, above, limit, bytes_max)]


async def forget(conn: Conn, lane: int, seqs: Sequence[int], upto: Mapping[tuple[str, int], int]) -> Passed:
    """Forget records of a lane that Kafka has; `upto`: the next offset behind them, by topic and partition."""
    names, partitions = [at[0] for at in upto], [at[1] for at in upto]
    row = await conn.fetchrow(_FORGET, seqs, names, partitions, list(upto.values()), lane)
    assert row is not None
    return Passed(*row)
