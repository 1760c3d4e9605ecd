"""Reports that came before the sends that they are about were booked, and whom replies are from."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple, cast

from chassis.pool import Conn

from delivery.domain.report import Kind, Report

_KEEP: Final = """
insert into early_report (message_id, kind, provider, provider_message_id, heard_at, look_at)
select message_id, kind, $4, provider_message_id, clock_timestamp(), clock_timestamp()
from unnest($1::uuid[], $2::text[], $3::text[]) as row (message_id, kind, provider_message_id)
on conflict (message_id, kind) do nothing
"""

_TAKE: Final = """
select message_id::text, kind, provider, provider_message_id
from early_report where look_at <= clock_timestamp()
order by look_at limit $1 for update skip locked
"""

_ARE_DUE: Final = "select exists (select from early_report where look_at <= clock_timestamp())"

_DROP: Final = """
delete from early_report e
using unnest($1::uuid[], $2::text[]) as said (message_id, kind)
where e.message_id = said.message_id and e.kind = said.kind
"""

# Seldom after a while: what is not ours is looked at for a day, and costs next to nothing.
_POSTPONE: Final = """
update early_report e
set look_at = clock_timestamp() + least(greatest(clock_timestamp() - e.heard_at, interval '0.2 s'), interval '5 min')
from unnest($1::uuid[], $2::text[]) as said (message_id, kind)
where e.message_id = said.message_id and e.kind = said.kind
"""

_FORGET: Final = """
delete from early_report where (message_id, kind) in (
    select message_id, kind from early_report where heard_at < clock_timestamp() - $1::interval limit $2
)
"""

_QUOTED: Final = """
select provider_message_id, message_id::text, contact_id from message where provider_message_id = any($1::text[])
"""

# Somebody's number may stand with several contacts, and in a test's data with all of them.
_OF_NUMBERS: Final = """
select asked.number, found.contact_id
from unnest($1::text[]) as asked (number) cross join lateral (
    select contact_id from contact
    where addresses ? 'whatsapp' and regexp_replace(addresses ->> 'whatsapp', '[^0-9]', '', 'g') = asked.number
    order by source_offset desc limit $2
) as found
"""


class Kept(NamedTuple):
    """A report that waits for its message, and who made it."""

    report: Report
    provider: str


class Quoted(NamedTuple):
    """The message that a reply quotes."""

    message_id: str
    contact_id: str


async def keep(conn: Conn, reports: Sequence[Report], *, provider: str) -> None:
    """Keep reports of messages that have not ended yet; one that is kept already stays."""
    await conn.execute(
        _KEEP,
        [one.message_id for one in reports],
        [one.kind for one in reports],
        [one.provider_message_id for one in reports],
        provider,
    )


async def are_due(conn: Conn) -> bool:
    """Whether any kept report is to be looked at again."""
    return bool(await conn.fetchval(_ARE_DUE))


async def take(conn: Conn, *, limit: int) -> list[Kept]:
    """Lock kept reports that are to be looked at again."""
    rows = await conn.fetch(_TAKE, limit)
    return [Kept(Report(row[0], cast(Kind, row[1]), row[3]), row[2]) for row in rows]


async def drop(conn: Conn, reports: Sequence[Report]) -> None:
    """These are done."""
    await conn.execute(_DROP, [one.message_id for one in reports], [one.kind for one in reports])


async def postpone(conn: Conn, reports: Sequence[Report]) -> None:
    """Look at these again later, the older the later."""
    await conn.execute(_POSTPONE, [one.message_id for one in reports], [one.kind for one in reports])


async def forget(conn: Conn, *, older_than: timedelta, limit: int) -> int:
    """Drop reports of messages that never came; how many."""
    return int((await conn.execute(_FORGET, older_than, limit)).rsplit(" ", 1)[1])


async def quoted(conn: Conn, provider_message_ids: Sequence[str]) -> dict[str, Quoted]:
    """The messages with these ids of the provider."""
    return {row[0]: Quoted(row[1], row[2]) for row in await conn.fetch(_QUOTED, provider_message_ids)}


async def of_numbers(conn: Conn, numbers: Sequence[str], *, limit: int) -> Mapping[str, list[str]]:
    """The contacts whose WhatsApp address has just these digits, at most so many of each number, newest first."""
    found: dict[str, list[str]] = {}
    for number, contact_id in await conn.fetch(_OF_NUMBERS, sorted(set(numbers)), limit):
        found.setdefault(number, []).append(contact_id)
    return found
