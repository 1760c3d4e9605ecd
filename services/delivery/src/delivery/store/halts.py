"""Receipts that are owed: each is given once, when the last claim made before the stop has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from chassis.pool import Conn

from delivery.domain.ending import Owed

_OWE_SEQUENCE: Final = """
insert into sequence_halt (sequence_id, epoch, in_flight, erase, cause, closed_at)
select sequence_id, epoch, in_flight, erase, cause, clock_timestamp()
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[], $5::jsonb[])
    as row (sequence_id, epoch, in_flight, erase, cause)
on conflict (sequence_id, epoch) do update set erase = sequence_halt.erase or excluded.erase
"""

# As JSON, for arrays of different lengths make no array.
_OWE_CONTACTS: Final = """
with owed as (
    insert into contact_halt (removal_id, contact_id, enrollment_ids, waiting_ids, waiting_tokens, dropped, in_flight,
        cause)
    select removal_id, contact_id, enrollment_ids, waiting_ids, waiting_tokens, dropped, in_flight, cause
    from jsonb_to_recordset($1::jsonb) as row (removal_id text, contact_id text, enrollment_ids uuid[],
        waiting_ids uuid[], waiting_tokens bigint[], dropped bigint, in_flight bigint, cause jsonb)
    on conflict (removal_id) do nothing
    returning 1
)
select pg_notify(current_schema() || '.halt', '') from owed limit 1
"""

# What is claimed is found through the claims, which are few; as an array, so that no plan walks through the queue. A
# row that bears no token is booked, and one of a later epoch is another claim's.
HELD: Final = """
with held as materialized (
    select sequence_id, epoch from pending
    where enrollment_id = any(array(select unnest(enrollment_ids) from claim)) and token is not null
)
"""
SEQUENCE_IS_HALTED: Final = """
not exists (select from held where held.sequence_id = h.sequence_id and held.epoch < h.epoch)
"""
CONTACT_IS_HALTED: Final = """
not exists (
    select from unnest(h.waiting_ids, h.waiting_tokens) as held (enrollment_id, token)
    join pending p on p.enrollment_id = held.enrollment_id and p.token = held.token
)
"""

_OWED: Final = f"""
{HELD}
select sequence_id, epoch, null as removal_id, null as scope, {SEQUENCE_IS_HALTED} as halted from sequence_halt h
union all
select null, null, removal_id, null, {CONTACT_IS_HALTED} from contact_halt h
union all
select null, epoch, null, scope, true from scope where status = 'suspending'
"""  # noqa: S608 - of its own parts

_SETTLE_SEQUENCES: Final = f"""
{HELD}
delete from sequence_halt h
where {SEQUENCE_IS_HALTED}
    or exists (
        select from unnest($1::text[], $2::bigint[]) as lapsed (sequence_id, epoch)
        where lapsed.sequence_id = h.sequence_id and lapsed.epoch = h.epoch
    )
returning h.sequence_id, h.epoch, h.in_flight, h.erase, h.cause, clock_timestamp() as halted_at
"""  # noqa: S608 - of its own parts

_SETTLE_CONTACTS: Final = f"""
delete from contact_halt h
where {CONTACT_IS_HALTED}
    or h.removal_id = any($1::text[])
returning h.removal_id, h.contact_id, h.enrollment_ids::text[], h.dropped, h.in_flight, h.cause, clock_timestamp()
"""  # noqa: S608 - of its own parts

_ERASE: Final = "delete from sequence_halt where sequence_id = $1"


@dataclass(frozen=True, slots=True)
class SequenceHalt:
    """A stop of a sequence that is owed a receipt."""

    sequence_id: str
    epoch: int
    in_flight: int
    erases: bool
    cause: Mapping[str, Any] | None
    """None where nobody waits for the receipt."""


@dataclass(frozen=True, slots=True)
class HaltedSequence:
    """A stop that holds."""

    halt: SequenceHalt
    halted_at: datetime


@dataclass(frozen=True, slots=True)
class HaltedContact:
    """A removal that holds."""

    removal_id: str
    contact_id: str
    enrollment_ids: tuple[str, ...]
    dropped: int
    in_flight: int
    cause: Mapping[str, Any]
    halted_at: datetime


class AllOwed(NamedTuple):
    """What is owed a receipt."""

    stops: list[tuple[str, int]]
    """Sequence and epoch."""
    removals: list[str]
    suspensions: list[tuple[str, int]]
    """Scope and epoch."""
    halted: bool
    """Nothing is claimed any more of one of them; suspensions, which are rare, always count as such."""


async def owe_sequences(conn: Conn, halts: Sequence[SequenceHalt]) -> None:
    """Note receipts in the transaction that closes the gates."""
    await conn.execute(
        _OWE_SEQUENCE,
        [halt.sequence_id for halt in halts],
        [halt.epoch for halt in halts],
        [halt.in_flight for halt in halts],
        [halt.erases for halt in halts],
        [None if halt.cause is None else orjson.dumps(halt.cause).decode() for halt in halts],
    )


async def owe_contacts(conn: Conn, receipts: Sequence[tuple[Owed, Mapping[str, Any]]]) -> None:
    """Note receipts in the transaction that ends the enrollments, each with its cause."""
    rows = [
        {
            "removal_id": owed.removal_id,
            "contact_id": owed.contact_id,
            "enrollment_ids": owed.enrollment_ids,
            "waiting_ids": list(owed.waits_for),
            "waiting_tokens": list(owed.waits_for.values()),
            "dropped": owed.dropped,
            "in_flight": owed.in_flight,
            "cause": cause,
        }
        for owed, cause in receipts
    ]
    await conn.execute(_OWE_CONTACTS, orjson.dumps(rows).decode())


async def owed(conn: Conn) -> AllOwed:
    """What is owed a receipt, and whether one of them can be given."""
    rows = await conn.fetch(_OWED)
    return AllOwed(
        [(row[0], row[1]) for row in rows if row[0] is not None],
        [row[2] for row in rows if row[2] is not None],
        [(row[3], row[1]) for row in rows if row[3] is not None],
        any(row[4] for row in rows),
    )


async def settle_sequences(conn: Conn, *, lapsed: Sequence[tuple[str, int]] = ()) -> list[HaltedSequence]:
    """Take the receipts that can be given: no claim made before the stop is open, or it is among `lapsed`."""
    rows = await conn.fetch(_SETTLE_SEQUENCES, [one[0] for one in lapsed], [one[1] for one in lapsed])
    return [
        HaltedSequence(
            SequenceHalt(
                sequence_id=row["sequence_id"],
                epoch=row["epoch"],
                in_flight=row["in_flight"],
                erases=row["erase"],
                cause=None if row["cause"] is None else orjson.loads(row["cause"]),
            ),
            row["halted_at"],
        )
        for row in rows
    ]


async def settle_contacts(conn: Conn, *, lapsed: Sequence[str] = ()) -> list[HaltedContact]:
    """Take the receipts that can be given: the claims that they wait for have ended, or it is among `lapsed`."""
    rows = await conn.fetch(_SETTLE_CONTACTS, lapsed)
    return [HaltedContact(row[0], row[1], tuple(row[2]), row[3], row[4], orjson.loads(row[5]), row[6]) for row in rows]


async def erase(conn: Conn, sequence_id: str) -> int:
    """Drop what is still owed of a sequence."""
    return int((await conn.execute(_ERASE, sequence_id)).rsplit(" ", 1)[1])
