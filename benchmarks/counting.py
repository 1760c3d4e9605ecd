"""Full counts, made from the rows themselves, beside the books that are kept of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chassis.pool import Conn
from sluice import Sluice
from sluice_contracts import topics
from testkit.checker.invariants.books import PLACES

COUNTERS: Final = ("planned", *PLACES)

_BOOKS: Final = f"""
select {", ".join(f"sum({name})::bigint" for name in COUNTERS)} from (
    select {", ".join(COUNTERS)} from delivery.books where sequence_id = $1
    union all
    select {", ".join(COUNTERS)} from delivery.books_delta where sequence_id = $1
) as parts
"""
_ENROLLED: Final = "select count(*) from enrollment.enrollment where sequence_id = $1"
_PENDING: Final = "select count(*) from delivery.pending where sequence_id = $1 and token is null"
_MESSAGES: Final = "select count(*) from delivery.message where sequence_id = $1"
_SENT: Final = """
select count(*), count(distinct message_id) from delivery.message where sequence_id = $1 and outcome = 'sent'
"""
_UNPUBLISHED: Final = """
select (select count(*) from sequences.outbox) + (select count(*) from enrollment.outbox)
    + (select count(*) from delivery.outbox)
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was counted, and what it should be."""

    what: str
    counted: int
    wanted: int

    @property
    def holds(self) -> bool:
        return self.counted == self.wanted


async def books(conn: Conn, sequence_id: str) -> dict[str, int]:
    """The books of a sequence at this instant."""
    row = await conn.fetchrow(_BOOKS, sequence_id)
    return {name: int(value or 0) for name, value in zip(COUNTERS, row or (), strict=True)}


def closed(booked: Mapping[str, int]) -> bool:
    """Whether every planned message stands in one place."""
    return booked["planned"] == placed(booked)


def placed(booked: Mapping[str, int]) -> int:
    """The sum of the places."""
    return sum(booked[place] for place in PLACES)


async def pending(conn: Conn, sequence_id: str) -> int:
    """A full count of the pending sends of a sequence."""
    return int(await conn.fetchval(_PENDING, sequence_id))


async def messages(conn: Conn, sequence_id: str) -> int:
    """A full count of the messages of a sequence that have ended."""
    return int(await conn.fetchval(_MESSAGES, sequence_id))


async def unpublished(conn: Conn) -> int:
    """How many records still wait to be published."""
    return int(await conn.fetchval(_UNPUBLISHED))


async def records_of(sluice: Sluice, topic: str, kind: str) -> int:
    """How many different records of a type are on a topic, read from its beginning to its end."""
    needle, ids = f'"type":"{kind}"'.encode(), set[bytes]()
    async for batch in sluice.transport.read_to_end(topic):
        ids.update(one.value[:80] for one in batch if one.value is not None and needle in one.value)
    return len(ids)


async def first_messages(sluice: Sluice, conn: Conn, sequence_id: str, contacts: int) -> list[Check]:
    """After all first messages are sent: everything is there once, and the books agree with the rows."""
    now = await books(conn, sequence_id)
    sent, distinct = await conn.fetchrow(_SENT, sequence_id) or (0, 0)
    return [
        Check("enrollments", int(await conn.fetchval(_ENROLLED, sequence_id)), contacts),
        Check(
            "ContactEnrolled published",
            await records_of(sluice, topics.ENROLLMENT_EVENTS, "ContactEnrolled.v1"),
            contacts,
        ),
        Check("messages sent", sent, contacts),
        Check("different messages sent", distinct, contacts),
        Check("MessageSent published", await records_of(sluice, topics.DELIVERY_EVENTS, "MessageSent.v1"), contacts),
        Check("sent, in the books", now["sent"], contacts),
        Check("second steps pending", await pending(conn, sequence_id), contacts),
        Check("pending, in the books", now["pending"], contacts),
        Check("planned = the sum of the places", now["planned"], placed(now)),
    ]
