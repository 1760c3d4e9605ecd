"""Scopes that are, or were, suspended. Closed under the exclusive gate lock only: a claim relies on the shared one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import orjson
from asyncpg import Record
from chassis.pool import Conn

from delivery.domain.scope import Scope, Status

_LOCK: Final = """
select scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial, rest_seconds
from scope where scope = any($1::text[]) order by scope for update
"""

_ALL: Final = """
select scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial, rest_seconds
from scope
"""

_LOCK_ALL: Final = """
select scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial, rest_seconds
from scope order by scope for update
"""

_LOCK_OWED: Final = """
select scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial, rest_seconds
from scope where status = 'suspending' order by scope for update
"""

# The notice is given once per statement and heard after the commit: senders look at their copy of the gates anew.
_SAVE: Final = """
with saved as (
    insert into scope (scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial,
        rest_seconds)
    select scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial, rest_seconds
    from unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[], $6::bigint[], $7::timestamptz[],
        $8::jsonb[], $9::jsonb[], $10::boolean[], $11::boolean[], $12::double precision[])
        as row (scope, status, epoch, changed_at, reason, in_flight, halted_at, cause, restore, breaker, trial,
            rest_seconds)
    order by scope
    on conflict (scope) do update set status = excluded.status, epoch = excluded.epoch,
        changed_at = excluded.changed_at, reason = excluded.reason, in_flight = excluded.in_flight,
        halted_at = excluded.halted_at, cause = excluded.cause, restore = excluded.restore, breaker = excluded.breaker,
        trial = excluded.trial, rest_seconds = excluded.rest_seconds
    returning scope
)
select pg_notify(current_schema() || '.gate', '') from saved limit 1
"""

_NARROWED: Final = "select scope, status, trial from scope where status <> 'running' or trial"

# What is claimed is found through the claims, which are few; as an array, so that no plan walks through the queue.
_HELD: Final = """
select lane, count(*) from pending
where enrollment_id = any(array(select unnest(enrollment_ids) from claim)) and token is not null
group by lane
"""


class Narrowed(NamedTuple):
    """A scope that does not run as it used to: it is closed, or on trial."""

    scope: str
    status: str
    trial: bool


async def lock(conn: Conn, scopes: Sequence[str]) -> dict[str, Scope]:
    """Lock these scopes, as far as they are known."""
    return {row["scope"]: _scope(row) for row in await conn.fetch(_LOCK, scopes)}


async def load(conn: Conn, *, lock: bool) -> dict[str, Scope]:
    """Every scope that was ever suspended, locked or as it is at this moment."""
    return {row["scope"]: _scope(row) for row in await conn.fetch(_LOCK_ALL if lock else _ALL)}


async def lock_owed(conn: Conn) -> list[Scope]:
    """Lock the scopes that are owed a receipt."""
    return [_scope(row) for row in await conn.fetch(_LOCK_OWED)]


async def save(conn: Conn, scopes: Sequence[Scope]) -> None:
    """Write scopes, and wake the senders when the transaction commits. Who closes one holds the exclusive gate lock."""
    if not scopes:
        return
    await conn.execute(
        _SAVE,
        [scope.scope for scope in scopes],
        [scope.status.value for scope in scopes],
        [scope.epoch for scope in scopes],
        [scope.changed_at for scope in scopes],
        [scope.reason for scope in scopes],
        [scope.in_flight for scope in scopes],
        [scope.halted_at for scope in scopes],
        [None if scope.cause is None else orjson.dumps(scope.cause).decode() for scope in scopes],
        [None if scope.restore is None else orjson.dumps(scope.restore).decode() for scope in scopes],
        [scope.breaker for scope in scopes],
        [scope.trial for scope in scopes],
        [scope.rest_seconds for scope in scopes],
    )


async def narrowed(conn: Conn) -> list[Narrowed]:
    """The scopes that are closed or on trial."""
    return [Narrowed(*row) for row in await conn.fetch(_NARROWED)]


async def held(conn: Conn) -> dict[str, int]:
    """How many messages are claimed, by lane."""
    return {row[0]: row[1] for row in await conn.fetch(_HELD)}


def _scope(row: Record) -> Scope:
    changed_at: datetime = row["changed_at"]
    return Scope(
        scope=row["scope"],
        status=Status(row["status"]),
        epoch=row["epoch"],
        changed_at=changed_at,
        reason=row["reason"],
        in_flight=row["in_flight"],
        halted_at=row["halted_at"],
        cause=None if row["cause"] is None else orjson.loads(row["cause"]),
        restore=None if row["restore"] is None else orjson.loads(row["restore"]),
        breaker=row["breaker"],
        trial=row["trial"],
        rest_seconds=row["rest_seconds"],
    )
