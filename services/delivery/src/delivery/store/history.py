"""What became of messages: append-only, by day."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from chassis.pool import Conn

from delivery.domain.message import Ended

_APPEND: Final = """
insert into message (message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel, outcome, code,
    attempt, due_at, ended_at, detail, provider_message_id, resolved_at, resolved_by)
select message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel, outcome, code, attempt, due_at,
    ended_at, detail, provider_message_id, resolved_at, resolved_by
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[],
    $9::text[], $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[], $15::timestamptz[],
    $16::text[])
    as row (message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel, outcome, code, attempt,
        due_at, ended_at, detail, provider_message_id, resolved_at, resolved_by)
"""

_MAKE_PARTITIONS: Final = "select make_message_partitions($1)"

_OF_MESSAGES: Final = """
select message_id::text, enrollment_id::text, sequence_id, contact_id, step_id, version, channel, attempt,
    outcome
from message where message_id = any($1::uuid[])
"""

_ERASE: Final = """
delete from message
where sequence_id = $1 and ended_at <= (
    select max(ended_at) from (
        select ended_at from message where sequence_id = $1 order by ended_at limit $2
    ) as oldest
)
"""


class Sent(NamedTuple):
    """Which message an id stands for."""

    message_id: str
    enrollment_id: str
    sequence_id: str
    contact_id: str
    step_id: str
    version: int
    channel: str
    attempt: int
    outcome: str = "sent"


async def of_messages(conn: Conn, message_ids: Sequence[str]) -> dict[str, Sent]:
    """The messages with these ids that have ended, by id."""
    return {row[0]: Sent(*row) for row in await conn.fetch(_OF_MESSAGES, message_ids)}


async def append(conn: Conn, ended: Sequence[Ended]) -> None:
    """Add messages that have ended."""
    await conn.execute(_APPEND, *([getattr(one, name) for one in ended] for name in Ended.__slots__))


async def make_partitions(conn: Conn, *, days_ahead: int) -> int:
    """Make the partitions of today and of the days to come; how many were missing."""
    made: int = await conn.fetchval(_MAKE_PARTITIONS, days_ahead)
    return made


async def erase(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Drop about so many of the oldest messages of a sequence; how many."""
    return int((await conn.execute(_ERASE, sequence_id, limit)).rsplit(" ", 1)[1])
