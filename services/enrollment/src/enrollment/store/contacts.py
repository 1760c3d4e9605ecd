"""What is known of contacts; their rows are what entry, removal and contact changes lock."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from campaign.conditions import Facts
from chassis.pool import Conn

from enrollment.domain.contact import Contact
from enrollment.store.ids import joined


@dataclass(frozen=True, slots=True)
class Heard:
    """A contact's record: its version, where it stands in the topic, and what entry and conditions ask of it."""

    contact_id: str
    state_version: int
    partition: int
    offset: int
    opted_out: bool
    facts: str = "{}"


# A row that is there is locked by the conflict and not written: `where false`. One statement, so that known and unknown
# ones are locked in one order, which is also that of `_HEAR`.
_STUB_OR_LOCK: Final = """
insert into contact as known (contact_id)
select named.contact_id from unnest(string_to_array($1, ',')) as named (contact_id)
order by named.contact_id collate "C"
on conflict (contact_id) do update set opted_out = known.opted_out where false
"""

_LOCK: Final = """
select count(*) from (
    select 1 from contact where contact_id = any((select string_to_array($1, ','))::text[])
    order by contact_id for update
) as locked
"""

_LOAD: Final = """
select contact_id, state_version, source_partition, source_offset, opted_out, opted_out_kept, gone_partition,
    gone_offset
from contact where contact_id = any((select string_to_array($1, ','))::text[])
"""

_HEAR: Final = """
insert into contact as known (contact_id, state_version, source_partition, source_offset, opted_out, facts)
select contact_id, state_version, source_partition, source_offset, opted_out, facts
from unnest($1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::boolean[], $6::json[])
    as news (contact_id, state_version, source_partition, source_offset, opted_out, facts)
order by news.contact_id collate "C"
on conflict (contact_id) do update
set state_version = excluded.state_version, source_partition = excluded.source_partition,
    source_offset = excluded.source_offset, opted_out = excluded.opted_out, facts = excluded.facts
where (known.state_version is null or known.state_version < excluded.state_version)
    and (known.gone_partition is distinct from excluded.source_partition or known.gone_offset < excluded.source_offset)
returning contact_id, opted_out or opted_out_kept
"""

_FACTS: Final = """
select contact_id, facts::text, opted_out or opted_out_kept
from contact where contact_id = any((select string_to_array($1, ','))::text[]) and state_version is not null
"""

_OPT_OUT: Final = """
update contact set opted_out_kept = true
where contact_id = any((select string_to_array($1, ','))::text[]) and not opted_out_kept
"""

_SAVE: Final = """
update contact as known
set state_version = news.state_version, source_partition = news.source_partition, source_offset = news.source_offset,
    opted_out = news.opted_out, opted_out_kept = news.opted_out_kept,
    facts = case when news.state_version is not null then known.facts end,
    gone_partition = news.gone_partition, gone_offset = news.gone_offset
from unnest($1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::boolean[], $6::boolean[], $7::int[], $8::bigint[])
    as news (contact_id, state_version, source_partition, source_offset, opted_out, opted_out_kept, gone_partition,
        gone_offset)
where known.contact_id = news.contact_id
"""


async def lock(conn: Conn, contact_ids: Collection[str]) -> None:
    """Lock the rows that are there, sorted, until the transaction ends. Rows of contacts are never deleted."""
    await conn.execute(_LOCK, joined(contact_ids))


async def lock_known_or_not(conn: Conn, contact_ids: Collection[str]) -> None:
    """Lock a row for each (no id twice), sorted, until the transaction ends; one is made where there is none."""
    await conn.execute(_STUB_OR_LOCK, joined(contact_ids))


async def load(conn: Conn, contact_ids: Collection[str]) -> Mapping[str, Contact]:
    """What is known of each."""
    return {row[0]: Contact(*row) for row in await conn.fetch(_LOAD, joined(contact_ids))}


async def hear(conn: Conn, news: Sequence[Heard]) -> dict[str, bool]:
    """Take over records that are newer than what is known; whether each of those has opted out."""
    rows = await conn.fetch(
        _HEAR,
        [one.contact_id for one in news],
        [one.state_version for one in news],
        [one.partition for one in news],
        [one.offset for one in news],
        [one.opted_out for one in news],
        [one.facts for one in news],
    )
    return {row[0]: row[1] for row in rows}


def packed(attributes: Mapping[str, Any], tags: Sequence[str]) -> str:
    """Attributes and tags as they are stored."""
    return orjson.dumps({"attributes": attributes, "tags": tags}).decode()


async def facts(conn: Conn, contact_ids: Collection[str]) -> dict[str, Facts]:
    """What conditions ask of contacts; those that were not heard of are not in it."""
    found = {}
    for contact_id, text, opted_out in await conn.fetch(_FACTS, joined(contact_ids)):
        stored = orjson.loads(text) if text is not None else {}
        found[contact_id] = Facts(stored.get("attributes", {}), stored.get("tags", ()), opted_out)
    return found


async def opt_out(conn: Conn, contact_ids: Collection[str]) -> None:
    """Keep that these contacts want nothing more."""
    await conn.execute(_OPT_OUT, joined(contact_ids))


async def save(conn: Conn, contacts: Sequence[Contact]) -> None:
    """Write contacts back."""
    if not contacts:
        return
    await conn.execute(
        _SAVE,
        [one.contact_id for one in contacts],
        [one.state_version for one in contacts],
        [one.source_partition for one in contacts],
        [one.source_offset for one in contacts],
        [one.opted_out for one in contacts],
        [one.opted_out_kept for one in contacts],
        [one.gone_partition for one in contacts],
        [one.gone_offset for one in contacts],
    )
