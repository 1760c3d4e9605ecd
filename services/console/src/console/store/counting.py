"""The numbers: each defined by one query."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from chassis.pool import Conn

PLACES_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Counted:
    """The books of a sequence."""

    sequence_id: str
    books_version: int
    planned: int
    pending: int
    claimed: int
    sent: int
    failed: int
    dropped: int
    expired: int
    unknown: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Ends:
    """What became of the messages of one step."""

    step_id: str
    messages: int
    sent: int
    failed: int
    expired: int
    unknown: int
    delivered: int
    read: int
    bounced: int
    complained: int


@dataclass(frozen=True, slots=True)
class Place:
    """One live enrollment: what it entered, and which steps ended, in order, the last one when and in which version."""

    version: int | None
    ended: tuple[str, ...]
    since: datetime
    last_version: int | None


_BOOKS: Final = """
select sequence_id, books_version, planned, pending, claimed, sent, failed, dropped, expired, unknown, as_of
from books where sequence_id = any($1::text[])
"""

_ENROLLED: Final = "select count(*) from enrollment where sequence_id = $1 and enrolled_at is not null"

_IN_PROGRESS: Final = """
select count(*) from enrollment where sequence_id = $1 and status = 'active' and first_sent_at is not null
"""

_COMPLETED: Final = "select count(*) from enrollment where sequence_id = $1 and status = 'completed'"

_DROPPED: Final = """
select count(*) from enrollment
where sequence_id = $1 and (status = 'removed' or (status = 'stopped' and reason in ('opted_out', 'failure')))
"""

_SUCCESS: Final = """
select count(*) from enrollment where sequence_id = $1 and status = 'stopped' and reason in ('success', 'replied')
"""

_FAILED: Final = "select count(*) from enrollment where sequence_id = $1 and status = 'failed'"

LOG: Final = {
    "enrolled": _ENROLLED,
    "in_progress": _IN_PROGRESS,
    "completed": _COMPLETED,
    "dropped": _DROPPED,
    "success": _SUCCESS,
    "failed": _FAILED,
}
"""The six numbers of a sequence's log, by name."""

# What ended a message wins over `unknown`, whichever was heard first; a retry takes one `unknown` back.
_FUNNEL: Final = """
with message as (
    select step_id, enrollment_id,
        bool_or(kind in ('sent', 'resolved_sent')) as sent, bool_or(kind in ('failed', 'resolved_failed')) as failed,
        bool_or(kind = 'expired') as expired, bool_or(kind = 'delivered') as delivered, bool_or(kind = 'read') as read,
        bool_or(kind = 'bounced') as bounced, bool_or(kind = 'complained') as complained,
        count(*) filter (where kind = 'unknown') > count(*) filter (where kind = 'resolved_retry') as unsure
    from event where sequence_id = $1 and step_id is not null
    group by step_id, enrollment_id
)
select step_id, count(*) filter (where sent or failed or expired or unsure), count(*) filter (where sent),
    count(*) filter (where failed and not sent), count(*) filter (where expired and not sent and not failed),
    count(*) filter (where unsure and not sent and not failed and not expired), count(*) filter (where delivered),
    count(*) filter (where read), count(*) filter (where bounced), count(*) filter (where complained)
from message group by step_id order by step_id
"""

_REPLIED: Final = """
select sent.step_id, count(distinct sent.enrollment_id)
from event as reply
join event as sent on sent.contact_id = reply.contact_id and sent.sequence_id = $1 and sent.kind = 'sent'
    and sent.detail ->> 'message_id' = reply.detail ->> 'message_id'
where reply.kind = 'replied' and reply.detail ? 'message_id'
group by sent.step_id
"""

_PLACES: Final = """
with last as (
    select distinct on (enrollment_id, step_id) enrollment_id, step_id, at, (detail ->> 'version')::bigint as version
    from event
    where sequence_id = $1 and kind in ('sent', 'failed', 'expired', 'resolved_sent', 'resolved_failed')
    order by enrollment_id, step_id, at desc
), steps as (
    select enrollment_id, array_agg(step_id order by at, step_id) as steps, max(at) as at,
        (array_agg(version order by at desc, step_id desc))[1] as version
    from last group by enrollment_id
)
select e.version, coalesce(s.steps, '{}'), coalesce(s.at, e.enrolled_at), s.version
from enrollment as e left join steps as s using (enrollment_id)
where e.sequence_id = $1 and e.status = 'active' and coalesce(s.at, e.enrolled_at) is not null
"""


async def books(conn: Conn, sequence_ids: Sequence[str]) -> dict[str, Counted]:
    """The last books of sequences, by id."""
    return {row[0]: Counted(*row) for row in await conn.fetch(_BOOKS, sequence_ids)}


def nothing(sequence_id: str, *, as_of: datetime) -> Counted:
    """The books of a sequence of which delivery has counted nothing yet."""
    return Counted(
        sequence_id, 0, planned=0, pending=0, claimed=0, sent=0, failed=0, dropped=0, expired=0, unknown=0, as_of=as_of
    )


async def log(conn: Conn, sequence_id: str) -> dict[str, int]:
    """The six numbers."""
    return {name: await conn.fetchval(query, sequence_id) for name, query in LOG.items()}


async def funnel(conn: Conn, sequence_id: str) -> dict[str, Ends]:
    """What became of the messages of each step."""
    return {row[0]: Ends(*row) for row in await conn.fetch(_FUNNEL, sequence_id)}


async def replied(conn: Conn, sequence_id: str) -> dict[str, int]:
    """How many replied to a message of each step, where the reply names it."""
    return {row[0]: row[1] for row in await conn.fetch(_REPLIED, sequence_id)}


async def places(conn: Conn, sequence_id: str) -> AsyncIterator[Place]:
    """Where every live enrollment stands, some at a time; needs a transaction."""
    async for row in conn.cursor(_PLACES, sequence_id, prefetch=PLACES_AT_ONCE):
        yield Place(row[0], tuple(row[1]), row[2], row[3])
