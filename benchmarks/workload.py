"""What is put through Sluice: contacts, a sequence of two steps, and imports of 1,000."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from chassis.clock import new_id, utc_now
from chassis.pool import Conn
from sluice import Sluice
from sluice_contracts.contacts import ContactCreated
from sluice_contracts.envelope import Envelope, encode

from benchmarks.arena import until

CHUNK_CONTACTS: Final = 1_000
CHUNKS_IN_FLIGHT: Final = 16
CONTACTS_IN_FLIGHT: Final = 5_000
CHUNK_SECONDS_MAX: Final = 120.0
LANE: Final = "email:"
FIRST_STEP: Final = "welcome"
SECOND_STEP: Final = "tips"
SECOND_AFTER_DAYS: Final = 30

DEFINITION: Final[dict[str, Any]] = {
    "name": "Benchmark",
    "steps": [
        {
            "step_id": FIRST_STEP,
            "after": "0s",
            "message": {
                "channel": "email",
                "subject": "Welcome, {{ contact.first_name }}",
                "text": "Hi {{ contact.first_name }}, this is where you start. Your number is {{ contact.id }}.",
            },
        },
        {
            "step_id": SECOND_STEP,
            "after": f"{SECOND_AFTER_DAYS}d",
            "message": {"channel": "email", "subject": "Three tips", "text": "Hi {{ contact.first_name }}, here."},
        },
    ],
}

KNOW_CONTACTS: Final = """
insert into delivery.contact (contact_id, state_version, source_partition, source_offset, attributes, addresses)
select contact_id, 1, 0, n, jsonb_build_object('first_name', 'Name ' || n, 'status', 'New'),
    jsonb_build_object('email', contact_id || '@example.com')
from unnest($1::text[]) with ordinality as row (contact_id, n)
on conflict do nothing
"""
"""What delivery knows of the contacts, as rows, where no reader is to hear of them."""

SENT_SECONDS_MAX: Final = 300.0
_SENT: Final = "select count(*) from delivery.message where sequence_id = $1 and outcome = 'sent'"
_GATE_OPEN: Final = "select coalesce((select open from delivery.gate where sequence_id = $1), false)"
_ACTIVE: Final = "select coalesce((select status = 'active' from enrollment.sequence where sequence_id = $1), false)"
_HEARD: Final = """
select least(
    (select count(*) from enrollment.contact where state_version is not null),
    (select count(*) from delivery.contact)
)
"""


def contact_ids(count: int) -> list[str]:
    """The contacts of a benchmark."""
    return [f"c-{number:07d}" for number in range(count)]


async def publish(sluice: Sluice, conn: Conn, sequence_id: str, definition: dict[str, Any] = DEFINITION) -> None:
    """Publish the sequence, and wait until everybody has heard of it."""
    await sluice.save(sequence_id, definition)
    await sluice.publish(sequence_id)
    await heard(conn, sequence_id)


async def heard(conn: Conn, sequence_id: str) -> None:
    """Wait until everybody has heard that the sequence is published."""

    async def active() -> bool:
        return bool(await conn.fetchval(_GATE_OPEN, sequence_id)) and bool(await conn.fetchval(_ACTIVE, sequence_id))

    await until(f"{sequence_id} is published everywhere", active, seconds_max=30)


async def write_contacts(sluice: Sluice, conn: Conn, ids: Sequence[str], *, seconds_max: float) -> None:
    """Announce the contacts on `contacts.events`, and wait until enrollment and delivery know all of them."""
    topic, now = ContactCreated.TOPIC, utc_now()
    flying: list[asyncio.Future[object]] = []
    for number, contact_id in enumerate(ids):
        state = ContactCreated(
            contact_id=contact_id,
            state_version=1,
            attributes={"first_name": f"Name {number}", "status": "New"},
            tags=[],
            addresses={"email": f"{contact_id}@example.com"},
            opted_out=False,
        )
        envelope = Envelope(id=contact_id, source="benchmark", type=state.TYPE, subject=contact_id, time=now)
        flying.append(await sluice.transport.send(topic, key=contact_id, value=encode(envelope, state.to_json())))
        if len(flying) >= CONTACTS_IN_FLIGHT:
            await asyncio.gather(*flying)
            flying.clear()
    await asyncio.gather(*flying)

    async def heard() -> bool:
        return int(await conn.fetchval(_HEARD)) >= len(ids)

    await until("the contacts are known everywhere", heard, seconds_max=seconds_max, poll_seconds=0.5)


async def enroll(sluice: Sluice, sequence_id: str, ids: Sequence[str], *, told: Callable[[int], None]) -> int:
    """Import all of them, some chunks under way at once; how many the answers say have entered."""
    places = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
    run, entered = new_id(), 0

    async def send(number: int, chunk: Sequence[str]) -> None:
        nonlocal entered
        try:
            answer = await sluice.enroll_many(
                sequence_id, chunk, chunk=number, command_id=f"{run}:{number}", seconds_max=CHUNK_SECONDS_MAX
            )
            entered += answer.enrolled
            told(entered)
        finally:
            places.release()

    async with asyncio.TaskGroup() as group:
        for number, chunk in enumerate(chunks(ids)):
            await places.acquire()
            group.create_task(send(number, chunk))
    return entered


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Shares of one command each."""
    for start in range(0, len(ids), CHUNK_CONTACTS):
        yield ids[start : start + CHUNK_CONTACTS]


async def until_sent(conn: Conn, sequence_id: str, count: int, *, poll_seconds: float = 0.1) -> None:
    """Wait until so many messages of the sequence are booked as sent."""

    async def sent() -> bool:
        return int(await conn.fetchval(_SENT, sequence_id)) >= count

    what = f"{count:,} messages of {sequence_id} are sent"
    await until(what, sent, seconds_max=SENT_SECONDS_MAX, poll_seconds=poll_seconds)
