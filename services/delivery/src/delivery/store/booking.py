"""What became of messages, booked by token: row, history, books and events in one statement per batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from chassis.pool import Conn


class Ending(StrEnum):
    """How a claim ended."""

    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RETRY = "retry"
    RELEASED = "released"
    """Nothing was tried: it is as if it had not been claimed."""
    POSTPONED = "postponed"
    """Nothing could be tried yet: as if it had not been claimed, but later."""
    HELD = "held"
    """It is outside its window: as if it had not been claimed, but when that opens."""
    WITHHELD = "withheld"
    """A condition holds that ends its enrollment: it is not sent unless newer data say otherwise."""


@dataclass(slots=True)
class Booking:
    """One claimed message and what became of it."""

    enrollment_id: str
    contact_id: str
    token: int
    ending: str
    message_id: str
    channel: str
    due_at: datetime | None
    code: str | None = None
    detail: str | None = None
    provider_message_id: str | None = None
    retry_after: timedelta | None = None
    """On the active clock; of one that is unknown: when its step's policy decides."""
    planned_under: int | None = None
    """The version that the next step was looked up in; where an edit has come since, the row is planned again."""
    next_step: str | None = None
    next_lane: str | None = None
    next_after: timedelta | None = None
    event: bytes | None = None
    notice: bytes | None = None
    """What enrollment is told where it is still so: StepsFinished, or the condition for which it is withheld."""
    in_doubt: bool = False
    """It is tried again, and may have arrived: where its enrollment has ended meanwhile, it is unknown."""
    opens_at: datetime | None = None
    """Of one that is held."""
    contact_at: int | None = None
    """Of one that is held or withheld: the contact's record that was looked at. Where there is a newer one, neither."""


# `held` locks the rows in the order of their ids and sees whether a removal has halted them meanwhile. A row whose
# token is another's is not in it: a late sender changes nothing.
_BOOK: Final = """
with r as (
    select * from unnest(
        $1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::bytea[], $6::bytea[], $7::integer[]
    ) as one (enrollment_id, message_id, due_at, provider_message_id, event, notice, way)
    join unnest(
        $8::integer[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::interval[], $14::integer[],
        $15::text[], $16::text[], $17::interval[], $18::boolean[], $19::timestamptz[], $20::bigint[]
    ) as ways (way, token, ending, code, detail, retry_after, planned_under, next_step, next_lane, next_after,
        in_doubt, opens_at, contact_at) using (way)
), held as materialized (
    select r.*, split_part(p.lane, ':', 1) as channel, convert_to(p.contact_id, 'UTF8') as key, p.sequence_id,
        p.contact_id, p.step_id, p.version, p.attempt, p.halted,
        v.effective,
        case when r.ending in ('sent', 'failed', 'unknown') then r.ending
            when r.in_doubt or p.in_doubt then 'unknown' else 'dropped' end as outcome,
        least(clock_timestamp(), g.paused_at) - g.clock_offset as active_now,
        coalesce(r.planned_under = v.effective, false) as current,
        r.ending = 'sent' and not p.halted
            and (r.next_step is not null or r.planned_under is distinct from v.effective) as goes_on,
        r.ending = 'unknown' and not p.halted as waits,
        r.ending in ('retry', 'released', 'postponed', 'held', 'withheld') and not p.halted as stays,
        case when r.ending not in ('held', 'withheld') then r.ending
            when r.planned_under is distinct from v.effective or r.contact_at is distinct from (
                select c.source_offset from contact c where c.contact_id = p.contact_id
            ) then 'released' else r.ending end as stays_as,
        r.opens_at - g.clock_offset as opens_active,
        p.halted or not coalesce(g.open, false) as awaited
    from r
    join pending p on p.enrollment_id = r.enrollment_id and p.token = r.token
    left join gate g on g.sequence_id = p.sequence_id
    cross join lateral (
        select case when g.version is not null
            then greatest(p.entered_version, coalesce(g.follow_version, g.version)) end as effective
    ) v
    order by p.enrollment_id
    for update of p
), stayed as (
    update pending p set token = null, epoch = null,
        attempt = case when h.ending = 'retry' then p.attempt else p.attempt - 1 end,
        in_doubt = p.in_doubt or h.in_doubt,
        tried_as = case when h.ending = 'retry' then h.message_id else p.tried_as end,
        due_active = case when h.stays_as in ('released', 'withheld') then p.due_active
            when h.stays_as = 'held' then h.opens_active else h.active_now + h.retry_after end,
        due_own = case when h.stays_as in ('released', 'withheld') then p.due_own
            else coalesce(p.due_own, p.due_active) end,
        lane = case when h.ending <> 'retry' and p.attempt = 1 and p.version is distinct from h.effective then null
            when h.stays_as = 'withheld' then 'withheld:' else p.lane end,
        held_by = case h.stays_as when 'held' then 'window' when 'withheld' then 'condition' end,
        held_lane = case when h.stays_as = 'withheld' then p.lane end
    from held h where h.stays and p.enrollment_id = h.enrollment_id
), moved as (
    update pending p set token = null, epoch = null, attempt = 0, in_doubt = false, ended = p.ended || p.step_id,
        step_id = case when h.current then h.next_step end,
        lane = case when h.current then h.next_lane end,
        version = case when h.current then h.effective else p.version end,
        base_active = h.active_now, due_own = null, held_by = null, tried_as = null,
        due_active = case when h.current then h.active_now + h.next_after end
    from held h where h.goes_on and p.enrollment_id = h.enrollment_id
), doubted as (
    update pending p set token = null, epoch = null, in_doubt = true, lane = 'unknown:', held_by = null,
        due_active = h.active_now + h.retry_after, due_own = coalesce(p.due_own, p.due_active)
    from held h where h.waits and p.enrollment_id = h.enrollment_id
), gone as (
    delete from pending p using held h
    where not h.goes_on and not h.stays and not h.waits and p.enrollment_id = h.enrollment_id
), kept as (
    insert into message (message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel, outcome, code,
        detail, attempt, due_at, ended_at, provider_message_id)
    select message_id, enrollment_id, sequence_id, contact_id, step_id, version, channel,
        outcome, code, detail, attempt, due_at, clock_timestamp(), provider_message_id
    from held where not stays
), booked as (
    insert into books_delta (sequence_id, planned, pending, claimed, sent, failed, dropped, unknown)
    select sequence_id, count(*) filter (where goes_on), count(*) filter (where goes_on or stays), -count(*),
        count(*) filter (where not stays and outcome = 'sent'),
        count(*) filter (where not stays and outcome = 'failed'),
        count(*) filter (where not stays and outcome = 'dropped'),
        count(*) filter (where not stays and outcome = 'unknown')
    from held group by sequence_id
), said as (
    insert into outbox (lane, topic, key, value)
    select 1, 'delivery.events', key, value
    from (
        select enrollment_id, key, event as value, 0 as place from held
        where event is not null and not stays
        union all
        select enrollment_id, key, notice, 1 from held
        where notice is not null and not halted
            and case ending when 'sent' then current and not goes_on else stays_as = 'withheld' end
    ) as events
    order by enrollment_id, place
    returning 1
), closed as (
    delete from claim where token = any($21::bigint[])
)
select (select count(*) from held) as booked,
    case when exists (select from said) then pg_notify(current_schema() || '.outbox', '')::text end as woken,
    case when exists (select from held where awaited) then pg_notify(current_schema() || '.halt', '')::text end as told
"""

# Who writes a newer record of a contact has what is held looked at again: it waits for this, or this sees the record.
# Before the rows, as there.
_SHARE_CONTACTS: Final = "select from contact where contact_id = any($1::text[]) order by contact_id for share"

_ONE: Final = attrgetter("enrollment_id", "message_id", "due_at", "provider_message_id", "event", "notice")
_WAY: Final = attrgetter(
    *("token", "ending", "code", "detail", "retry_after", "planned_under", "next_step", "next_lane", "next_after"),
    *("in_doubt", "opens_at", "contact_at"),
)
_NOTHING_LEFT: Final = "delete from claim where token = any($1::bigint[])"


async def book(conn: Conn, bookings: Sequence[Booking], *, finished: Sequence[int]) -> int:
    """Book what became of claimed messages, and close the claims of which nothing is left; how many were still ours.

    The caller shares the gates since before this statement: so what follows is planned under the version that counts
    then, or an edit finds the row, and a receipt's books are exact.
    """
    if not bookings:
        await conn.execute(_NOTHING_LEFT, finished)
        return 0
    held = [one.contact_id for one in bookings if one.contact_at is not None]
    if held:
        await conn.execute(_SHARE_CONTACTS, held)
    booked: int = await conn.fetchval(_BOOK, *parameters(bookings), finished)
    return booked


def parameters(bookings: Sequence[Booking]) -> list[Sequence[Any]]:
    """Columns of what each has of its own, the number of the way in which it ended, and columns of the ways.

    Most of a batch have ended in one and the same way: told once, it need not be written and read for each of them.
    """
    ways: dict[tuple[Any, ...], int] = {}
    numbers = [ways.setdefault(way, len(ways)) for way in map(_WAY, bookings)]
    return [*zip(*map(_ONE, bookings), strict=True), numbers, list(ways.values()), *zip(*ways, strict=True)]
