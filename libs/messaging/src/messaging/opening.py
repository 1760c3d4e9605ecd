"""Whether a service knows what it has said. Until then it is closed, as if its database were away.

The lookout knows, once it has looked beyond what the relay had acknowledged. It holds an advisory lock for each level,
and who depends on one tries to share it: where that fails, it is held. Such locks live in the server's memory and die
with the session, so nothing of them can be in a database that was put back, and asking costs no row and no round trip.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from chassis.pool import Conn

LEVEL_LOCKS: Final = 0x51_10
"""The class of the advisory locks; their keys are hashes of schema and level."""


class Level(StrEnum):
    """How far a service is after a start."""

    KNOWN = "known"
    """All that was said is known: events are heard, heartbeats count, the outbox is published."""
    OPEN = "open"
    """Events are heard up to where they ended then: commands are taken, loops go round, messages are claimed."""


class Closed(ConnectionError):
    """What was said is not known yet. Like a database that is away it is waited out (`is_transient`)."""


_HOLD: Final = "select pg_advisory_lock($1, hashtext(current_schema() || '.' || $2))"

# Sharing ends with the transaction. Who waits for the lock alone counts as holding it: that is the lookout.
_HELD: Final = "select not pg_try_advisory_xact_lock_shared($1, hashtext(current_schema() || '.' || $2))"

_NOW: Final = """
select clock_timestamp(), not pg_try_advisory_xact_lock_shared($1, hashtext(current_schema() || '.' || $2))
"""


async def hold(conn: Conn, level: Level) -> None:
    """Vouch for a level for as long as this session lives."""
    await conn.execute(_HOLD, LEVEL_LOCKS, level)


async def is_held(conn: Conn, level: Level) -> bool:
    """Whether a session that lives vouches for a level."""
    return bool(await conn.fetchval(_HELD, LEVEL_LOCKS, level))


async def now(conn: Conn, level: Level) -> datetime | None:
    """The database's clock; None where nobody vouches for the level."""
    row = await conn.fetchrow(_NOW, LEVEL_LOCKS, level)
    assert row is not None
    return row[0] if row[1] else None
