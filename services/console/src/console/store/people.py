"""Contacts, their enrollments and timelines, as they are looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson
from chassis.pool import Conn

from console.domain.fact import Fact
from console.domain.standing import Enrolled, Suspension

FACTS_MAX: Final = 100_000
"""Of the contacts of one answer, and the newest of each."""
FACTS_OF_ONE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known of a contact."""

    contact_id: str
    state_version: int | None
    timezone: str | None
    opted_out: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """Whether a scope is suspended."""

    scope: str
    suspended: bool
    epoch: int
    reason: str | None
    in_flight: int | None
    at: datetime


_CONTACTS: Final = """
select contact_id, state_version, timezone, opted_out from contact
where contact_id = any($1::text[]) and state_version is not null
"""

_CHANNELS_OUT: Final = """
select distinct detail ->> 'channel' from event where contact_id = $1 and kind = 'opted_out'
"""

_PAGE: Final = """
select enrollment_id, contact_id, sequence_id, version, via, enrolled_at, status, reason, ended_at
from enrollment
where sequence_id = $1 and (contact_id, enrollment_id) > ($2, $3)
order by sequence_id, contact_id, enrollment_id limit $4
"""

_PAGE_OF_STATUS: Final = """
select enrollment_id, contact_id, sequence_id, version, via, enrolled_at, status, reason, ended_at
from enrollment
where sequence_id = $1 and status = $5 and (contact_id, enrollment_id) > ($2, $3)
order by sequence_id, status, contact_id, enrollment_id limit $4
"""

_OF_CONTACT: Final = """
select enrollment_id, contact_id, sequence_id, version, via, enrolled_at, status, reason, ended_at
from enrollment
where contact_id = $1 and ($2::text is null or sequence_id = $2) and sequence_id is not null
order by enrolled_at desc nulls last, enrollment_id limit $3
"""

# Removals everywhere and what a contact said itself are about every sequence.
_FACTS: Final = """
select told.at, told.kind, told.contact_id, told.detail, told.sequence_id, told.enrollment_id, told.step_id
from unnest($1::text[]) as asked (contact_id)
cross join lateral (
    select event_id, at, kind, contact_id, detail, sequence_id, enrollment_id, step_id from event
    where contact_id = asked.contact_id and ($2::text is null or sequence_id = $2 or sequence_id is null)
    order by at desc, event_id desc limit $3
) as told
order by told.at, told.event_id
"""

_TIMELINE: Final = """
select at, kind, contact_id, detail, sequence_id, enrollment_id, step_id, event_id::text from event
where contact_id = $1 and ($2::timestamptz is null or (at, event_id) < ($2, $3::uuid))
order by at desc, event_id desc limit $4
"""

_UNKNOWN: Final = """
select last.at, last.kind, last.contact_id, last.detail, last.sequence_id, last.enrollment_id, last.step_id
from (
    select distinct contact_id, enrollment_id, step_id from event
    where kind = 'unknown' and (contact_id, enrollment_id, step_id) > ($1, $2, $3)
    order by contact_id, enrollment_id, step_id
) as asked
cross join lateral (
    select at, kind, contact_id, detail, sequence_id, enrollment_id, step_id from event
    where contact_id = asked.contact_id and enrollment_id = asked.enrollment_id and step_id = asked.step_id
        and kind in ('unknown', 'sent', 'failed', 'expired', 'resolved_sent', 'resolved_failed', 'resolved_retry')
    order by at desc, kind limit 1
) as last
where last.kind = 'unknown'
order by last.contact_id, last.enrollment_id, last.step_id limit $4
"""

_SCOPES: Final = "select scope, suspended, epoch, reason, in_flight, at from scope order by scope"


async def contacts(conn: Conn, contact_ids: Sequence[str]) -> dict[str, Contact]:
    """Those of these contacts that are there."""
    return {row[0]: Contact(*row) for row in await conn.fetch(_CONTACTS, contact_ids)}


async def channels_out(conn: Conn, contact_id: str) -> tuple[bool, list[str]]:
    """Whether a contact said that it wants nothing more at all, and on which channels alone."""
    found = [row[0] for row in await conn.fetch(_CHANNELS_OUT, contact_id)]
    return None in found, sorted(one for one in found if one is not None)


async def page(
    conn: Conn, sequence_id: str, *, status: str | None, after: tuple[str, str], limit: int
) -> list[Enrolled]:
    """Enrollments of a sequence by contact, with their facts."""
    if status is None:
        rows = await conn.fetch(_PAGE, sequence_id, *after, limit)
    else:
        rows = await conn.fetch(_PAGE_OF_STATUS, sequence_id, *after, limit, status)
    enrolled = [Enrolled(*row) for row in rows]
    return with_facts(enrolled, await facts(conn, list({one.contact_id for one in enrolled}), sequence_id))


async def enrollments(conn: Conn, contact_id: str, *, sequence_id: str | None, limit: int) -> list[Enrolled]:
    """A contact's enrollments, the newest first, without their facts."""
    return [Enrolled(*row) for row in await conn.fetch(_OF_CONTACT, contact_id, sequence_id, limit)]


async def facts(conn: Conn, contact_ids: Sequence[str], sequence_id: str | None) -> list[Fact]:
    """What happened to contacts in one sequence, or everywhere, in its order; of who has a long past, the last part."""
    most = min(FACTS_OF_ONE_MAX, FACTS_MAX // max(1, len(contact_ids)))
    return [_fact(row) for row in await conn.fetch(_FACTS, contact_ids, sequence_id, most)]


async def timeline(
    conn: Conn, contact_id: str, *, before: tuple[datetime, str] | None, limit: int
) -> list[tuple[str, Fact]]:
    """A contact's timeline, newest first, each with its id."""
    at, event_id = before or (None, None)
    return [(row[7], _fact(row)) for row in await conn.fetch(_TIMELINE, contact_id, at, event_id, limit)]


async def unknown(conn: Conn, *, after: tuple[str, str, str], limit: int) -> list[Fact]:
    """Messages of which nobody knows whether they arrived, by contact, enrollment and step."""
    return [_fact(row) for row in await conn.fetch(_UNKNOWN, *after, limit)]


async def scopes(conn: Conn) -> list[Scope]:
    """Every scope that was ever suspended."""
    return [Scope(*row) for row in await conn.fetch(_SCOPES)]


def suspensions(found: Sequence[Scope]) -> dict[str, Suspension]:
    """Those that are suspended."""
    return {one.scope: Suspension(one.scope, one.at, one.reason) for one in found if one.suspended}


def with_facts(enrolled: Sequence[Enrolled], found: Sequence[Fact]) -> list[Enrolled]:
    """The enrollments, each with what is told of it."""
    of: dict[str | None, list[Fact]] = {}
    for fact in found:
        of.setdefault(fact.enrollment_id, []).append(fact)
    return [replace(one, facts=of.get(one.enrollment_id, ())) for one in enrolled]


def _fact(row: Any) -> Fact:
    return Fact(row[0], row[1], row[2], orjson.loads(row[3]), row[4], row[5], row[6])
