"""The rules of every version of a sequence: what is said of entry and of an early end, and nothing else of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson
from campaign.rules import Rules, read_rules
from chassis.pool import Conn

KEPT: Final = ("trigger", "start_when", "stop_when", "enroll_once")
RULES_CACHED_MAX: Final = 1_024
NO_RULES: Final = Rules()

_SAVE: Final = """
insert into version (sequence_id, version, rules, conditional, on_reply)
select sequence_id, version, rules, conditional, on_reply
from unnest($1::text[], $2::bigint[], $3::json[], $4::boolean[], $5::boolean[])
    as published (sequence_id, version, rules, conditional, on_reply)
order by sequence_id collate "C", version
on conflict (sequence_id, version) do nothing
"""

_LOAD: Final = """
select version.sequence_id, version.version, version.rules::text
from version
join unnest($1::text[], $2::bigint[]) as named (sequence_id, version)
    on named.sequence_id = version.sequence_id and named.version = version.version
"""

_ANY_CONDITIONAL: Final = "select exists (select from version where conditional)"

_DELETE: Final = """
delete from version using unnest($1::text[], $2::bigint[]) as gone (sequence_id, version)
where version.sequence_id = gone.sequence_id and version.version = gone.version
"""

_ERASE_SEQUENCE: Final = """
delete from version where ctid = any(array(select ctid from version where sequence_id = $1 limit $2))
"""


@dataclass(frozen=True, slots=True)
class Version:
    """One published version, as its definition says it."""

    sequence_id: str
    version: int
    definition: Mapping[str, Any]


@lru_cache(RULES_CACHED_MAX)
def rules_of(text: str | None) -> Rules:
    """Rules as they are stored; a version never changes, so they are read once."""
    return NO_RULES if text is None else read_rules(orjson.loads(text))


async def save(conn: Conn, versions: Sequence[Version]) -> None:
    """Keep versions; one that is there stays. KeyError, TypeError or ValueError where the rules are none."""
    if not versions:
        return
    rules = [read_rules(one.definition) for one in versions]
    await conn.execute(
        _SAVE,
        [one.sequence_id for one in versions],
        [one.version for one in versions],
        [_kept(one.definition) for one in versions],
        [one.conditional for one in rules],
        [one.stop_when.on_reply for one in rules],
    )


async def load(conn: Conn, named: Collection[tuple[str, int]]) -> dict[tuple[str, int], Rules]:
    """The rules of these versions, as far as they were heard."""
    found = await conn.fetch(_LOAD, [one[0] for one in named], [one[1] for one in named])
    return {(row[0], row[1]): rules_of(row[2]) for row in found}


async def any_conditional(conn: Conn) -> bool:
    """Whether a change of a contact may end anything."""
    found: bool = await conn.fetchval(_ANY_CONDITIONAL)
    return found


async def delete(conn: Conn, named: Collection[tuple[str, int]]) -> None:
    """Forget versions that are gone."""
    await conn.execute(_DELETE, [one[0] for one in named], [one[1] for one in named])


async def erase_sequence(conn: Conn, sequence_id: str, *, limit: int) -> int:
    """Erase some versions of a deleted sequence; how many went."""
    status = await conn.execute(_ERASE_SEQUENCE, sequence_id, limit)
    return int(status.rsplit(" ", 1)[1])


def _kept(definition: Mapping[str, Any]) -> str:
    return orjson.dumps({name: definition[name] for name in KEPT if name in definition}).decode()
