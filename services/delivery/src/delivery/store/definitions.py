"""Published definitions, by version."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from campaign.definition import Definition, read_definition
from chassis.pool import Conn

# Nothing late comes back into a sequence that is deleted.
_SAVE: Final = """
insert into definition (sequence_id, version, definition)
select sequence_id, version, definition
from unnest($1::text[], $2::integer[], $3::jsonb[]) as row (sequence_id, version, definition)
where not exists (select from deleted_sequence d where d.sequence_id = row.sequence_id)
on conflict (sequence_id, version) do nothing
"""

_LOAD: Final = """
select d.sequence_id, d.version, d.definition
from definition d
join unnest($1::text[], $2::integer[]) as wanted (sequence_id, version)
    on wanted.sequence_id = d.sequence_id and wanted.version = d.version
"""

_ERASE: Final = "delete from definition where sequence_id = $1"


async def save(conn: Conn, definitions: Mapping[tuple[str, int], Mapping[str, Any]]) -> None:
    """Keep versions; one that is there already stays as it is."""
    await conn.execute(
        _SAVE,
        [sequence_id for sequence_id, _ in definitions],
        [version for _, version in definitions],
        [orjson.dumps(document).decode() for document in definitions.values()],
    )


async def load(conn: Conn, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Definition]:
    """The steps of these versions, as far as they are known."""
    return {
        (sequence_id, version): read_definition(version, document)
        for (sequence_id, version), document in (await documents(conn, wanted)).items()
    }


async def documents(conn: Conn, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Any]]:
    """These versions as they were published, as far as they are known."""
    places = sorted(set(wanted))
    rows = await conn.fetch(_LOAD, [place[0] for place in places], [place[1] for place in places])
    return {(row["sequence_id"], row["version"]): orjson.loads(row["definition"]) for row in rows}


async def erase(conn: Conn, sequence_id: str) -> int:
    """Drop every version of a sequence; how many there were."""
    return int((await conn.execute(_ERASE, sequence_id)).rsplit(" ", 1)[1])
