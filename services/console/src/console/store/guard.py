"""Where hearing facts and marking what is gone meet: after a mark nobody writes who had not seen it."""

from typing import Final

from chassis.pool import Conn

HEARING_LOCK: Final = 0x51_05

_SHARE: Final = "select pg_advisory_xact_lock_shared($1)"

_EXCLUDE: Final = "select pg_advisory_xact_lock($1)"


async def share(conn: Conn) -> None:
    """Hear facts; in a statement before the one that looks for marks."""
    await conn.execute(_SHARE, HEARING_LOCK)


async def exclude(conn: Conn) -> None:
    """Mark something as gone: waits for everybody who hears facts."""
    await conn.execute(_EXCLUDE, HEARING_LOCK)
