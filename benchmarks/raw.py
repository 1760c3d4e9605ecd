"""The yardstick: hand-written loops that do the same work and write the same rows, with asyncpg and nothing around it.

They run in a database of their own on the same server, on the tables that the same migrations make, so that no relay
publishes what they write. They decide nothing: no gate, no lease, no lock on a contact, no inbox to look into, no
Kafka. Who sends reads whom it writes to, puts the name into the text, and makes the event with the time of the send;
who imports makes the ids and the events. `knowing=True` leaves even that out: every event's bytes are made before the
clock starts, and nothing of the contact is read. It shows what of the loop's time Python takes beside Postgres.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import orjson
from asyncpg import Record
from chassis.clock import monotonic, utc_now
from chassis.migrate import migrate
from chassis.pool import Conn
from devstack.stack import Stack
from messaging import derive
from sluice_contracts.delivery import MessageSent
from sluice_contracts.enrollment import ContactEnrolled
from sluice_contracts.envelope import Envelope, encode

from benchmarks.arena import BenchmarkFailed, admin_url, database, migrations_of
from benchmarks.loops.process import heard, program
from benchmarks.workload import CHUNK_CONTACTS, FIRST_STEP, KNOW_CONTACTS, LANE, SECOND_AFTER_DAYS, SECOND_STEP

DATABASE: Final = "raw"
SERVICES: Final = ("enrollment", "delivery")
SEQUENCE: Final = "raw"
SENDS_PER_BATCH: Final = 1_000
IMPORTS_PER_BATCH: Final = 2 * CHUNK_CONTACTS
"""So many were fastest, of each; what else was tried stands in the README."""
LOOPS: Final = 2
"""Processes: as many as there are of ours, on two cores."""
START_LOCK: Final = 8_315
"""Held until the loops are to begin."""
DUE: Final = timedelta(minutes=1)
"""So long ago was the first message due; the others follow, each a microsecond after the one before, as ours."""
SECOND_AFTER: Final = timedelta(days=SECOND_AFTER_DAYS)
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)

_EMPTY_ENROLLMENT: Final = "truncate enrollment.enrollment, enrollment.outbox, enrollment.inbox"
_EMPTY_DELIVERY: Final = "truncate delivery.pending, delivery.message, delivery.outbox, delivery.books_delta"

_ANSWERED: Final = "insert into inbox (message, answer) values ($1, $2)"

_FILL_PENDING: Final = """
insert into delivery.pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane,
    due_active, base_active)
select enrollment_id, $3, contact_id, 1, 1, $4, $5, $6::timestamptz + n * interval '1 microsecond', $6
from unnest($1::uuid[], $2::text[]) with ordinality as row (enrollment_id, contact_id, n)
"""

# What became due before the last that this loop took ($4) is passed over, and none of it is left behind: a row that is
# skipped for its lock is taken by the claim that holds it.
_TAKEN: Final = """
with picked as materialized (
    select ctid as row from pending
    where sequence_id = $1 and lane = $2 and due_active <= clock_timestamp() and due_active >= $4 and token is null
    order by due_active limit $3 for update skip locked
), taken as (
    update pending set token = 1, epoch = 1, attempt = attempt + 1
    from unnest(array(select row from picked)) as one (row) where pending.ctid = one.row
    returning enrollment_id, contact_id, due_active
), booked as (
    insert into books_delta (sequence_id, pending, claimed)
    select $1, -count(*), count(*) from taken having count(*) > 0
)
"""
_CLAIM_KNOWING: Final = f"{_TAKEN} select enrollment_id::text, contact_id, due_active from taken"
_CLAIM: Final = f"""{_TAKEN}
select enrollment_id::text, contact_id, attributes, addresses, due_active from taken join contact using (contact_id)
"""

_FINISH: Final = """
with sent as (
    select enrollment_id, message_id, contact_id, key, event, due_at
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[])
        as row (enrollment_id, message_id, contact_id, key, event, due_at)
), moved as (
    update pending p set token = null, epoch = null, attempt = 0, ended = p.ended || p.step_id, step_id = $8,
        base_active = clock_timestamp(), due_active = clock_timestamp() + $9
    from sent where p.enrollment_id = sent.enrollment_id
), kept as (
    insert into message (message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel, outcome,
        attempt, due_at, ended_at)
    select message_id, enrollment_id, $7, contact_id, $10, 1, 'email', 'sent', 1, due_at, clock_timestamp() from sent
), booked as (
    insert into books_delta (sequence_id, planned, pending, claimed, sent)
    select $7, count(*), count(*), -count(*), count(*) from sent
)
insert into outbox (lane, topic, key, value) select 1, 'delivery.events', key, event from sent
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One contact's rows and event bytes, made before the clock starts."""

    contact_id: str
    enrollment_id: str
    message_id: str
    key: bytes
    enrolled: bytes
    sent: bytes


async def prepare(stack: Stack) -> None:
    """Make the database and its tables."""
    async with database(stack, "postgres") as conn:
        await conn.execute(f"create database {DATABASE}")
    for service in SERVICES:
        await migrate(admin_url(stack, DATABASE), service, migrations_of(stack, service))


def prepared(ids: Sequence[str]) -> list[Prepared]:
    """All that the loops will write."""
    return [_prepared(contact_id, number, utc_now()) for number, contact_id in enumerate(ids)]


async def imports(stack: Stack, ids: Sequence[str], *, knowing: bool = False) -> float:
    """Contacts a second, while the enrollments are written, an event for each, and an answer for each 1,000."""
    async with database(stack, DATABASE, schema="enrollment") as conn:
        await conn.execute(_EMPTY_ENROLLMENT)
        await conn.execute("checkpoint")
        async with _loops(stack, conn, "import", ids, knowing=knowing) as loops:
            started = monotonic()
            await loops.start()
            await loops.end()
            seconds = monotonic() - started
        await complete(conn, "enrollment", len(ids))
        return len(ids) / seconds


async def write_imports(conn: Conn, batches: Iterable[Sequence[Prepared]], *, knowing: bool) -> None:
    """What one loop does."""
    for batch in batches:
        now = utc_now()
        if knowing:
            entered = [(row.contact_id, row.enrollment_id, row.enrolled) for row in batch]
        else:
            entered = [_entered(row.contact_id, number, now) for number, row in enumerate(batch)]
        commands = batch[::CHUNK_CONTACTS]
        events = [(1, "enrollment.events", contact_id.encode(), event) for contact_id, _, event in entered]
        async with conn.transaction():
            await conn.copy_records_to_table(
                "enrollment",
                records=[(SEQUENCE, contact_id, enrollment_id, 1, 1, now) for contact_id, enrollment_id, _ in entered],
                columns=["sequence_id", "contact_id", "enrollment_id", "version", "contact_offset", "enrolled_at"],
            )
            await conn.copy_records_to_table(
                "outbox",
                records=[*events, *((0, "enrollment.answers", row.key, row.enrolled) for row in commands)],
                columns=["lane", "topic", "key", "value"],
            )
            await conn.executemany(_ANSWERED, [(row.enrollment_id, row.enrolled) for row in commands])


def _entered(contact_id: str, number: int, now: datetime) -> tuple[str, str, bytes]:
    """What is written of one entry: contact, enrollment, and the event."""
    enrollment_id = enrollment_id_of(contact_id)
    event = {
        "specversion": "1.0",
        "id": derive(enrollment_id, "entered"),
        "type": ContactEnrolled.TYPE,
        "source": "enrollment",
        "time": now,
        "datacontenttype": "application/json",
        "correlationid": enrollment_id,
        "causationid": enrollment_id,
        "data": {
            "enrollment_id": enrollment_id,
            "contact_id": contact_id,
            "sequence_id": SEQUENCE,
            "version": 1,
            "occurred_at": now,
            "via": "import",
            "contact_offset": number,
        },
    }
    return contact_id, enrollment_id, orjson.dumps(event, option=orjson.OPT_UTC_Z)


async def sends(stack: Stack, ids: Sequence[str], *, knowing: bool = False) -> float:
    """Messages a second, while all first messages are claimed, sent nowhere, and what follows from that is written.

    From the start to the last one booked, by the database's clock, as ours are measured.
    """
    async with database(stack, DATABASE, schema="delivery") as conn:
        await fill_sends(conn, ids)
        async with _loops(stack, conn, "send", ids, knowing=knowing) as loops:
            started: datetime = await conn.fetchval("select clock_timestamp()")
            await loops.start()
            await loops.end()
        await complete(conn, "message", len(ids))
        last: datetime = await conn.fetchval("select max(ended_at) from message")
        return len(ids) / (last - started).total_seconds()


def enrollment_id_of(contact_id: str) -> str:
    """As an import makes it: those of a thousand contacts stand together."""
    return derive(_import_of(contact_id[:-3]), contact_id)


@cache
def _import_of(thousand: str) -> str:
    return derive("raw", thousand)


async def fill_sends(conn: Conn, ids: Sequence[str]) -> None:
    """All of it due and not yet sent."""
    await conn.execute(_EMPTY_DELIVERY)
    enrollment_ids = [enrollment_id_of(one) for one in ids]
    await conn.execute(_FILL_PENDING, enrollment_ids, ids, SEQUENCE, FIRST_STEP, LANE, utc_now() - DUE)
    await conn.execute(KNOW_CONTACTS, ids)
    await conn.execute("vacuum analyze pending, contact")
    await conn.execute("checkpoint")


async def complete(conn: Conn, table: str, wanted: int) -> None:
    """BenchmarkFailed where there is not one row for each enrollment."""
    [found] = await conn.fetch(f"select count(*), count(distinct enrollment_id) from {table}")
    if tuple(found) != (wanted, wanted):
        raise BenchmarkFailed(f"{table}: {found[0]:,} rows of {found[1]:,} enrollments, not one of each of {wanted:,}")


async def write_sends(conn: Conn) -> None:
    """What one loop does."""
    claim, finish = await conn.prepare(_CLAIM), await conn.prepare(_FINISH)
    since = LONG_AGO
    while taken := await claim.fetch(SEQUENCE, LANE, SENDS_PER_BATCH, since):
        since = max(row["due_active"] for row in taken)
        columns = zip(*[_sent(row) for row in taken], strict=True)
        await finish.fetch(*columns, SEQUENCE, SECOND_STEP, SECOND_AFTER, FIRST_STEP)


async def write_sends_knowing(conn: Conn, rows: Sequence[Prepared]) -> None:
    """The same where all of it is known beforehand."""
    claim, finish = await conn.prepare(_CLAIM_KNOWING), await conn.prepare(_FINISH)
    by_enrollment = {row.enrollment_id: row for row in rows}
    since = LONG_AGO
    while taken := await claim.fetch(SEQUENCE, LANE, SENDS_PER_BATCH, since):
        since = max(row["due_active"] for row in taken)
        found = [by_enrollment[row[0]] for row in taken]
        await finish.fetch(
            [row.enrollment_id for row in found],
            [row.message_id for row in found],
            [row.contact_id for row in found],
            [row.key for row in found],
            [row.sent for row in found],
            [row["due_active"] for row in taken],
            SEQUENCE,
            SECOND_STEP,
            SECOND_AFTER,
            FIRST_STEP,
        )


def _sent(taken: Record) -> tuple[Any, ...]:
    """What is written of one message: enrollment, message, contact, the event with its key, and when it was due."""
    enrollment_id, contact_id, attributes, addresses, due = taken
    contact, to = orjson.loads(attributes), orjson.loads(addresses)["email"]
    name = contact["first_name"]
    text = f"Hi {name}, this is where you start. Your number is {contact_id}."
    _nowhere(to, f"Welcome, {name}", text)
    message_id, now = derive(enrollment_id, FIRST_STEP), utc_now()
    event = {
        "specversion": "1.0",
        "id": derive(message_id, "sent"),
        "type": MessageSent.TYPE,
        "source": "delivery",
        "time": now,
        "datacontenttype": "application/json",
        "correlationid": message_id,
        "causationid": message_id,
        "data": {
            "enrollment_id": enrollment_id,
            "contact_id": contact_id,
            "sequence_id": SEQUENCE,
            "version": 1,
            "occurred_at": now,
            "message_id": message_id,
            "step_id": FIRST_STEP,
            "channel": "email",
            "attempt": 1,
            "due_at": due,
            "sent_at": now,
        },
    }
    said = orjson.dumps(event, option=orjson.OPT_UTC_Z)
    return enrollment_id, message_id, contact_id, contact_id.encode(), said, due


def _nowhere(to: str, subject: str, text: str) -> None:
    """As the null channel sends."""


@dataclass(slots=True)
class _Loops:
    """Processes that are ready to begin, and wait for a lock."""

    conn: Conn
    running: Sequence["asyncio.subprocess.Process"]

    async def start(self) -> None:
        await self.conn.fetchval("select pg_advisory_unlock($1)", START_LOCK)

    async def end(self) -> None:
        await asyncio.gather(*(heard(process) for process in self.running))


@asynccontextmanager
async def _loops(stack: Stack, conn: Conn, what: str, ids: Sequence[str], *, knowing: bool) -> AsyncIterator[_Loops]:
    schema = "delivery" if what == "send" else "enrollment"
    await conn.execute("select pg_advisory_lock($1)", START_LOCK)
    told = {"url": admin_url(stack, DATABASE), "schema": schema, "what": what, "knowing": knowing, "count": len(ids)}
    async with AsyncExitStack() as exits:
        running = [
            await exits.enter_async_context(program("loops.write_rows", told | {"share": share}))
            for share in range(LOOPS)
        ]
        await asyncio.gather(*(heard(process) for process in running))
        yield _Loops(conn, running)


def _prepared(contact_id: str, number: int, now: datetime) -> Prepared:
    enrollment_id = enrollment_id_of(contact_id)
    message_id = derive(enrollment_id, FIRST_STEP)
    about = {
        "enrollment_id": enrollment_id,
        "contact_id": contact_id,
        "sequence_id": SEQUENCE,
        "version": 1,
        "occurred_at": now,
    }
    enrolled = ContactEnrolled(**about, via="import", contact_offset=number)
    sent = MessageSent(
        **about, message_id=message_id, step_id=FIRST_STEP, channel="email", attempt=1, due_at=now, sent_at=now
    )
    return Prepared(
        contact_id,
        enrollment_id,
        message_id,
        contact_id.encode(),
        encode(_envelope(enrolled.TYPE, derive(enrollment_id, "entered"), enrollment_id, now), enrolled.to_json()),
        encode(_envelope(sent.TYPE, derive(message_id, "sent"), enrollment_id, now), sent.to_json()),
    )


def _envelope(kind: str, event_id: str, cause: str, now: datetime) -> Envelope:
    return Envelope(id=event_id, source="delivery", type=kind, time=now, correlation_id=cause, causation_id=cause)
