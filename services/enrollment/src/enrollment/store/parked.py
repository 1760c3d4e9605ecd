"""Enrolls that wait for a sequence or a contact that has not been heard of."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson
from chassis.pool import Conn
from messaging import Cause

from enrollment.domain.answer import Tally
from enrollment.domain.entry import Ask, Missing
from enrollment.domain.parking import Parked, Waiting
from enrollment.store.ids import joined

_ADD_COMMANDS: Final = """
insert into parked_command (command, topic, cause, enrolled, refused, waiting)
select command, topic, cause, enrolled, refused, waiting
from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::int[], $5::jsonb[], $6::int[])
    as added (command, topic, cause, enrolled, refused, waiting)
"""

_ADD: Final = """
insert into parked (command, position, key, sequence_id, contact_id, enrollment_id, waits_for, parked_at)
select command, position, key, sequence_id, contact_id, enrollment_id, waits_for, $8
from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[]) with ordinality
    as added (command, position, key, sequence_id, contact_id, enrollment_id, waits_for, place)
order by added.place
"""

_OF_CONTACTS: Final = """
select place, command::text, waits_for, sequence_id, contact_id, enrollment_id::text, key, position, parked_at
from parked where contact_id = any((select string_to_array($1, ','))::text[]) order by place
"""

# Counted before the contacts are locked: what comes meanwhile makes a transaction a little larger than it was to be.
_FIRST_CONTACTS: Final = """
select contact_id
from (
    select contact_id, sum(count(*)) over (order by min(place)) - count(*) as earlier
    from parked where contact_id = any((select string_to_array($1, ','))::text[])
    group by contact_id
) as counted
where earlier < $2
"""

_WAKE: Final = """
update parked set waits_for = null where contact_id = any((select string_to_array($1, ','))::text[]) and waits_for = $2
"""

_WAKE_ALL: Final = """
update parked set waits_for = null
where contact_id = any((select string_to_array($1, ','))::text[]) and waits_for is not null
"""

_WAIT: Final = """
update parked set waits_for = changed.waits_for
from unnest($1::bigint[], $2::text[]) as changed (place, waits_for) where parked.place = changed.place
"""

_DELETE: Final = "delete from parked where place = any($1::bigint[])"

_LOCK_COMMANDS: Final = """
select command::text, topic, cause, enrolled, refused, waiting
from parked_command where command = any($1::uuid[]) order by command for update
"""

_SAVE_COMMANDS: Final = """
update parked_command set enrolled = counted.enrolled, refused = counted.refused, waiting = counted.waiting
from unnest($1::uuid[], $2::int[], $3::jsonb[], $4::int[]) as counted (command, enrolled, refused, waiting)
where parked_command.command = counted.command
"""

_DELETE_COMMANDS: Final = "delete from parked_command where command = any($1::uuid[])"

_READY: Final = """
select contact_id from parked where waits_for is null order by place limit $1
"""

# Hops from one sequence that is waited for to the next one in the index, however many rows wait for each.
_HEARD: Final = """
with recursive wanted as (
    (select sequence_id from parked where waits_for = 'sequence' order by sequence_id limit 1)
    union all
    select (select parked.sequence_id from parked
        where parked.waits_for = 'sequence' and parked.sequence_id > wanted.sequence_id
        order by parked.sequence_id limit 1)
    from wanted where wanted.sequence_id is not null
)
select waiting.contact_id
from wanted cross join lateral (
    select parked.contact_id from parked
    where parked.sequence_id = wanted.sequence_id and parked.waits_for = 'sequence' order by parked.place limit $1
) as waiting
where exists (select from sequence where sequence_id = wanted.sequence_id and status <> 'draft')
    or exists (select from deleted_sequence where sequence_id = wanted.sequence_id)
limit $1
"""

_LATE: Final = """
select contact_id from parked where waits_for = $1 and parked_at <= $2 order by parked_at limit $3
"""

_OF_SEQUENCE: Final = "select contact_id from parked where sequence_id = $1 order by place limit $2"

_CAUGHT_UP: Final = """
select topic,
    case when count(*) = max(partitions) and bool_and(caught_up_at is not null and not withheld)
        then min(caught_up_at) end
from consumer_offset where topic = any($1::text[]) group by topic
"""


async def add_commands(conn: Conn, commands: Sequence[Waiting]) -> None:
    """Keep commands whose answer waits."""
    if not commands:
        return
    await conn.execute(
        _ADD_COMMANDS,
        [one.command for one in commands],
        [one.topic for one in commands],
        [orjson.dumps(one.cause.to_dict()).decode() for one in commands],
        [one.tally.enrolled for one in commands],
        [orjson.dumps(one.tally.refused).decode() for one in commands],
        [one.tally.waiting for one in commands],
    )


async def add(conn: Conn, rows: Sequence[tuple[str, Ask, Missing]], *, now: datetime) -> None:
    """Park contacts of commands, in this order."""
    if not rows:
        return
    await conn.execute(
        _ADD,
        [command for command, _, _ in rows],
        [ask.position for _, ask, _ in rows],
        [ask.key for _, ask, _ in rows],
        [ask.sequence_id for _, ask, _ in rows],
        [ask.contact_id for _, ask, _ in rows],
        [ask.enrollment_id for _, ask, _ in rows],
        [missing.value for _, _, missing in rows],
        now,
    )


async def first_contacts(conn: Conn, contact_ids: Collection[str], *, rows_max: int) -> list[str]:
    """Those of these contacts that have waited longest: as many as it takes to have `rows_max` rows, one at least."""
    return [row[0] for row in await conn.fetch(_FIRST_CONTACTS, joined(contact_ids), rows_max)]


async def of_contacts(conn: Conn, contact_ids: Collection[str]) -> list[Parked]:
    """All that is parked of these contacts, in the order in which it came."""
    return [
        Parked(row[0], row[1], row[2], Ask(row[3], row[4], row[5], row[6], row[7], row[8]))
        for row in await conn.fetch(_OF_CONTACTS, joined(contact_ids))
    ]


async def wake(conn: Conn, contact_ids: Collection[str], *, waits_for: Missing) -> None:
    """What these contacts waited for is there."""
    await conn.execute(_WAKE, joined(contact_ids), waits_for.value)


async def wake_all(conn: Conn, contact_ids: Collection[str]) -> None:
    """Whatever these contacts wait for, they are looked at again."""
    await conn.execute(_WAKE_ALL, joined(contact_ids))


async def wait(conn: Conn, rows: Sequence[tuple[Parked, Missing]]) -> None:
    """Change what rows wait for."""
    if not rows:
        return
    await conn.execute(_WAIT, [row.place for row, _ in rows], [missing.value for _, missing in rows])


async def delete(conn: Conn, rows: Sequence[Parked]) -> None:
    """Forget what is decided."""
    await conn.execute(_DELETE, [row.place for row in rows])


async def lock_commands(conn: Conn, commands: Sequence[str]) -> list[Waiting]:
    """Commands whose answer waits, locked."""
    return [
        Waiting(row[0], row[1], Cause(**orjson.loads(row[2])), Tally(row[3], orjson.loads(row[4]), row[5]))
        for row in await conn.fetch(_LOCK_COMMANDS, commands)
    ]


async def save_commands(conn: Conn, commands: Sequence[Waiting]) -> None:
    """Write what became of commands' contacts so far."""
    if not commands:
        return
    await conn.execute(
        _SAVE_COMMANDS,
        [one.command for one in commands],
        [one.tally.enrolled for one in commands],
        [orjson.dumps(one.tally.refused).decode() for one in commands],
        [one.tally.waiting for one in commands],
    )


async def delete_commands(conn: Conn, commands: Sequence[str]) -> None:
    """Forget commands that are answered."""
    if not commands:
        return
    await conn.execute(_DELETE_COMMANDS, commands)


async def ready(conn: Conn, *, limit: int) -> list[str]:
    """Contacts of whom something is there that was waited for."""
    return [row[0] for row in await conn.fetch(_READY, limit)]


async def heard(conn: Conn, *, limit: int) -> list[str]:
    """Contacts that waited for a sequence which is there by now."""
    return [row[0] for row in await conn.fetch(_HEARD, limit)]


async def late(conn: Conn, missing: Missing, *, horizon: datetime, limit: int) -> list[str]:
    """Contacts that have waited for `missing` since the horizon or before."""
    return [row[0] for row in await conn.fetch(_LATE, missing.value, horizon, limit)]


async def of_sequence(conn: Conn, sequence_id: str, *, limit: int) -> list[str]:
    """Contacts that wait for entry into a sequence, for whatever reason."""
    return [row[0] for row in await conn.fetch(_OF_SEQUENCE, sequence_id, limit)]


async def caught_up(conn: Conn, topics: Sequence[str]) -> Mapping[str, datetime | None]:
    """When the reader of each topic had last caught up on all its partitions; None where one never has."""
    return {row[0]: row[1] for row in await conn.fetch(_CAUGHT_UP, topics)}
