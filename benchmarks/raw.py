"""The yardstick: hand-written loops that do the same work and write the same rows, with asyncpg and nothing around it.

They run in a database of their own on the same server, on the tables that the same migrations make, so that no relay
publishes what they write. They decide nothing: no gate, no lease, no lock on a contact, no inbox to look into, no
Kafka. Who sends reads whom it writes to, puts the name into the text, and makes the event with the time of the send;
who imports makes the ids and the events. `knowing=True` leaves even that out: every event's bytes are made before the
clock starts, and nothing of the contact is read. So it is what writing the rows alone costs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
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

from benchmarks.arena import admin_url, database, migrations_of
from benchmarks.workload import CHUNK_CONTACTS, FIRST_STEP, KNOW_CONTACTS, LANE, SECOND_AFTER_DAYS, SECOND_STEP

DATABASE: Final = "raw"
SERVICES: Final = ("enrollment", "delivery")
SEQUENCE: Final = "raw"
SENDS_PER_BATCH: Final = 500
LOOPS: Final = 2
"""Two at once are the fastest on two cores: one waits for the disk while the other works."""

_EMPTY_ENROLLMENT: Final = "truncate enrollment.enrollment, enrollment.outbox, enrollment.inbox"
_EMPTY_DELIVERY: Final = "truncate delivery.pending, delivery.message, delivery.outbox, delivery.books_delta"

_FILL_PENDING: Final = """
insert into delivery.pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane,
    due_active, base_active)
select enrollment_id, $3, contact_id, 1, 1, $4, $5, $6, $6 from unnest($1::uuid[], $2::text[])
    as row (enrollment_id, contact_id)
"""

_TAKEN: Final = """
with taken as (
    update pending set token = 1, epoch = 1, attempt = attempt + 1
    where enrollment_id = any(array(
        select enrollment_id from pending
        where sequence_id = $1 and lane = $2 and due_active <= clock_timestamp() and token is null
        order by due_active limit $3 for update skip locked
    ))
    returning enrollment_id, contact_id
), booked as (
    insert into books_delta (sequence_id, pending, claimed)
    select $1, -count(*), count(*) from taken having count(*) > 0
)
"""
_CLAIM_KNOWING: Final = f"{_TAKEN} select enrollment_id::text, contact_id from taken"
_CLAIM: Final = f"""{_TAKEN}
select enrollment_id::text, contact_id, attributes, addresses from taken join contact using (contact_id)
"""

_FINISH: Final = """
with sent as (
    select enrollment_id, message_id, contact_id, key, event
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[])
        as row (enrollment_id, message_id, contact_id, key, event)
), moved as (
    update pending p set token = null, epoch = null, attempt = 0, ended = p.ended || p.step_id, step_id = $7,
        base_active = clock_timestamp(), due_active = clock_timestamp() + $8
    from sent where p.enrollment_id = sent.enrollment_id
), kept as (
    insert into message (message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel, outcome,
        attempt, due_at, ended_at)
    select message_id, enrollment_id, $6, contact_id, $9, 1, 'email', 'sent', 1, $10, clock_timestamp() from sent
), booked as (
    insert into books_delta (sequence_id, planned, pending, claimed, sent)
    select $6, count(*), count(*), -count(*), count(*) from sent
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


async def imports(stack: Stack, rows: Sequence[Prepared], *, knowing: bool = False) -> float:
    """Seconds that it takes to write the enrollments, an event for each, and an answer for each 1,000."""
    async with _connections(stack, "enrollment") as conns:
        await conns[0].execute(_EMPTY_ENROLLMENT)
        chunks = iter([rows[start : start + CHUNK_CONTACTS] for start in range(0, len(rows), CHUNK_CONTACTS)])
        started = monotonic()
        await asyncio.gather(*(_import(conn, chunks, knowing=knowing) for conn in conns))
        return monotonic() - started


async def _import(conn: Conn, chunks: Iterator[Sequence[Prepared]], *, knowing: bool) -> None:
    for chunk in chunks:
        now = utc_now()
        if knowing:
            entered = [(row.contact_id, row.enrollment_id, row.enrolled) for row in chunk]
        else:
            entered = [_entered(row.contact_id, number, now) for number, row in enumerate(chunk)]
        answer = chunk[0].enrolled
        events = [(1, "enrollment.events", contact_id.encode(), event) for contact_id, _, event in entered]
        async with conn.transaction():
            await conn.copy_records_to_table(
                "enrollment",
                records=[(SEQUENCE, contact_id, enrollment_id, 1, 1, now) for contact_id, enrollment_id, _ in entered],
                columns=["sequence_id", "contact_id", "enrollment_id", "version", "contact_offset", "enrolled_at"],
            )
            await conn.copy_records_to_table(
                "outbox",
                records=[*events, (0, "enrollment.answers", chunk[0].key, answer)],
                columns=["lane", "topic", "key", "value"],
            )
            await conn.execute("insert into inbox (message, answer) values ($1, $2)", chunk[0].enrollment_id, answer)


def _entered(contact_id: str, number: int, now: datetime) -> tuple[str, str, bytes]:
    """What is written of one entry: contact, enrollment, and the event."""
    enrollment_id = derive("raw", contact_id)
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


async def sends(stack: Stack, rows: Sequence[Prepared], *, knowing: bool = False) -> float:
    """Seconds that it takes to claim all first messages, to send them nowhere, and to write what follows from that."""
    due = utc_now() - timedelta(minutes=1)
    async with _connections(stack, "delivery") as conns:
        await conns[0].execute(_EMPTY_DELIVERY)
        ids = [row.enrollment_id for row in rows], [row.contact_id for row in rows]
        await conns[0].execute(_FILL_PENDING, *ids, SEQUENCE, FIRST_STEP, LANE, due)
        await conns[0].execute(KNOW_CONTACTS, ids[1])
        await conns[0].execute("vacuum analyze pending, contact")
        by_enrollment = {row.enrollment_id: row for row in rows}
        started = monotonic()
        if knowing:
            await asyncio.gather(*(_send_knowing(conn, by_enrollment, due) for conn in conns))
        else:
            await asyncio.gather(*(_send(conn, due) for conn in conns))
        return monotonic() - started


async def _send(conn: Conn, due: datetime) -> None:
    claim, finish = await conn.prepare(_CLAIM), await conn.prepare(_FINISH)
    while taken := await claim.fetch(SEQUENCE, LANE, SENDS_PER_BATCH):
        columns = zip(*[_sent(row, due) for row in taken], strict=True)
        await finish.fetch(*columns, SEQUENCE, SECOND_STEP, timedelta(days=SECOND_AFTER_DAYS), FIRST_STEP, due)


def _sent(taken: Record, due: datetime) -> tuple[Any, ...]:
    """What is written of one message: enrollment, message, contact, and the event with its key."""
    enrollment_id, contact_id, attributes, addresses = taken
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
    return enrollment_id, message_id, contact_id, contact_id.encode(), orjson.dumps(event, option=orjson.OPT_UTC_Z)


def _nowhere(to: str, subject: str, text: str) -> None:
    """As the null channel sends."""


async def _send_knowing(conn: Conn, by_enrollment: dict[str, Prepared], due: datetime) -> None:
    claim, finish = await conn.prepare(_CLAIM_KNOWING), await conn.prepare(_FINISH)
    after = timedelta(days=SECOND_AFTER_DAYS)
    while taken := await claim.fetch(SEQUENCE, LANE, SENDS_PER_BATCH):
        rows = [by_enrollment[row[0]] for row in taken]
        await finish.fetch(
            [row.enrollment_id for row in rows],
            [row.message_id for row in rows],
            [row.contact_id for row in rows],
            [row.key for row in rows],
            [row.sent for row in rows],
            SEQUENCE,
            SECOND_STEP,
            after,
            FIRST_STEP,
            due,
        )


@asynccontextmanager
async def _connections(stack: Stack, schema: str) -> AsyncIterator[list[Conn]]:
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(database(stack, DATABASE, schema=schema)) for _ in range(LOOPS)]


def _prepared(contact_id: str, number: int, now: datetime) -> Prepared:
    enrollment_id = derive("raw", contact_id)
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
