"""What is being erased here, and how far it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import orjson
from chassis.pool import Conn
from messaging import Cause

Subject = Literal["sequence", "contact"]


@dataclass(frozen=True, slots=True)
class Erasure:
    """One sequence, or one contact with what was decided before its tombstone's offset; and the rows that went so far.

    Without a cause no receipt is owed: another's receipt was all that told of it.
    """

    subject: Subject
    id: str
    before: int | None
    cause: Cause | None
    rows: Mapping[str, int]

    def plus(self, table: str, rows: int) -> "Erasure":
        """The same with so many rows more."""
        return replace(self, rows={**self.rows, table: self.rows.get(table, 0) + rows})


_START: Final = """
insert into erasure as known (subject, id, before, cause)
select subject, id, before, cause
from unnest($1::text[], $2::text[], $3::bigint[], $4::jsonb[]) as news (subject, id, before, cause)
order by subject, id collate "C"
on conflict (subject, id) do update set before = excluded.before, cause = excluded.cause
where excluded.before > known.before or known.cause is null
"""

_TAKE: Final = """
select subject, id, before, cause, rows from erasure
where subject = $1 order by subject, id limit $2 for update skip locked
"""

_SAVE: Final = """
update erasure set rows = done.rows
from unnest($2::text[], $3::jsonb[]) as done (id, rows) where erasure.subject = $1 and erasure.id = done.id
"""

_FINISH: Final = "delete from erasure where subject = $1 and id = any($2::text[])"

_SEQUENCE_EVENTS: Final = """
delete from event where ctid = any(array(select ctid from event where sequence_id = $1 limit $2 for update))
"""

# Their ids stay: a removal from everywhere that is heard late names enrollments, and no sequence.
_SEQUENCE_ENROLLMENTS: Final = """
with gone as (
    select ctid, enrollment_id from enrollment
    where sequence_id = $1 order by contact_id, enrollment_id limit $2 for update
), kept as (
    insert into gone_enrollment (enrollment_id) select enrollment_id from gone on conflict (enrollment_id) do nothing
)
delete from enrollment where ctid = any(array(select ctid from gone))
"""

_SEQUENCE_VERSIONS: Final = """
delete from version where ctid = any(array(select ctid from version where sequence_id = $1 limit $2 for update))
"""

_SEQUENCE_STRETCHES: Final = """
delete from stretch where ctid = any(array(select ctid from stretch where sequence_id = $1 limit $2 for update))
"""

_SEQUENCE_STOPS: Final = """
delete from stop where ctid = any(array(select ctid from stop where sequence_id = $1 limit $2 for update))
"""

_SEQUENCE_BOOKS: Final = """
delete from books where ctid = any(array(select ctid from books where sequence_id = $1 limit $2 for update))
"""

_SEQUENCE: Final = """
delete from sequence where ctid = any(array(select ctid from sequence where sequence_id = $1 limit $2 for update))
"""

OF_SEQUENCE: Final = {
    "event": _SEQUENCE_EVENTS,
    "enrollment": _SEQUENCE_ENROLLMENTS,
    "version": _SEQUENCE_VERSIONS,
    "stretch": _SEQUENCE_STRETCHES,
    "stop": _SEQUENCE_STOPS,
    "books": _SEQUENCE_BOOKS,
    "sequence": _SEQUENCE,
}
"""By table, in the order in which they go."""

# What was decided on a record after the tombstone is a new contact's; so is, until its entry is heard, a message of an
# enrollment that is not known.
_CONTACT_EVENTS: Final = """
with gone as (
    delete from event where ctid = any(array(
        select event.ctid
        from unnest($1::text[], $2::bigint[]) as erased (contact_id, before)
        join event on event.contact_id = erased.contact_id
        left join enrollment on enrollment.enrollment_id = event.enrollment_id
        where event.enrollment_id is null or enrollment.contact_offset < erased.before
        limit $3 for update of event
    ))
    returning contact_id
)
select contact_id, count(*) from gone group by contact_id
"""

_CONTACT_ENROLLMENTS: Final = """
with gone as (
    delete from enrollment where ctid = any(array(
        select enrollment.ctid
        from unnest($1::text[], $2::bigint[]) as erased (contact_id, before)
        join enrollment on enrollment.contact_id = erased.contact_id and enrollment.contact_offset < erased.before
        order by enrollment.enrollment_id limit $3 for update of enrollment
    ))
    returning contact_id, enrollment_id
), kept as (
    insert into gone_enrollment (enrollment_id) select enrollment_id from gone on conflict (enrollment_id) do nothing
)
select contact_id, count(*) from gone group by contact_id
"""

OF_CONTACT: Final = {"event": _CONTACT_EVENTS, "enrollment": _CONTACT_ENROLLMENTS}

_FORGET: Final = """
delete from gone_enrollment where ctid = any(array(
    select ctid from gone_enrollment where heard_at < clock_timestamp() - interval '40 days' limit $1
))
"""

_FORGET_BARE: Final = """
delete from enrollment where ctid = any(array(
    select ctid from enrollment
    where sequence_id is null and ended_at < clock_timestamp() - interval '40 days' limit $1
))
"""


async def start(conn: Conn, erasures: Sequence[Erasure]) -> None:
    """Have them erased, no two of the same; what is under way goes on."""
    if erasures:
        await conn.execute(
            _START,
            [one.subject for one in erasures],
            [one.id for one in erasures],
            [one.before for one in erasures],
            [None if one.cause is None else orjson.dumps(one.cause.to_dict()).decode() for one in erasures],
        )


async def take(conn: Conn, subject: Subject, *, limit: int) -> list[Erasure]:
    """Some that are to be done and that no other process is at, locked."""
    return [
        Erasure(row[0], row[1], row[2], None if row[3] is None else Cause(**orjson.loads(row[3])), orjson.loads(row[4]))
        for row in await conn.fetch(_TAKE, subject, limit)
    ]


async def save(conn: Conn, erasures: Sequence[Erasure]) -> None:
    """Write how far those of one subject are."""
    rows = [orjson.dumps(one.rows).decode() for one in erasures]
    await conn.execute(_SAVE, erasures[0].subject, [one.id for one in erasures], rows)


async def finish(conn: Conn, erasures: Sequence[Erasure]) -> None:
    """Those of one subject are done."""
    await conn.execute(_FINISH, erasures[0].subject, [one.id for one in erasures])


async def of_sequence(conn: Conn, table: str, sequence_id: str, *, limit: int) -> int:
    """Erase some rows of a sequence; how many went."""
    status = await conn.execute(OF_SEQUENCE[table], sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])


async def of_contacts(conn: Conn, table: str, erasures: Sequence[Erasure], *, limit: int) -> dict[str, int]:
    """Erase some rows of contacts; how many of each went."""
    ids, offsets = [one.id for one in erasures], [one.before for one in erasures]
    return {row[0]: row[1] for row in await conn.fetch(OF_CONTACT[table], ids, offsets, limit)}


async def forget(conn: Conn, *, limit: int) -> int:
    """Forget enrollments known by id alone, about which nothing can come any more; how many, of each kind at most."""
    gone = [await conn.execute(one, limit) for one in (_FORGET, _FORGET_BARE)]
    return max(int(status.rsplit(" ", 1)[1]) for status in gone)
