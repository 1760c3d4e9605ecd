"""Where a claim and a stop meet."""

from typing import Final

from chassis.pool import Conn

GATE_LOCK: Final = 0x51_01
"""Shared: what relies on a gate as it is (a claim, an entry). Exclusive: what changes one (a stop, a publish)."""
ENTRY_LOCK: Final = 0x51_03
"""Shared: who puts enrollments into the queue. Exclusive: who ends them, so that an end and a late entry never miss
each other: either the end sees the row, or the entry sees the end's marker."""
BOOKS_LOCK: Final = 0x51_02
"""Exclusive: who rolls up the books, and who erases them."""

_SHARE_GATES: Final = "select pg_advisory_xact_lock_shared($1)"
_HOLD_GATES: Final = "select pg_advisory_xact_lock($1)"
_SHARE_ENTRY: Final = "select pg_advisory_xact_lock_shared($1)"
_HOLD_ENTRY: Final = "select pg_advisory_xact_lock($1)"
_HOLD_BOOKS: Final = "select pg_advisory_xact_lock($1)"


async def share_gates(conn: Conn) -> None:
    """Until the transaction ends no gate changes. A statement of its own, before any that reads a gate."""
    await conn.execute(_SHARE_GATES, GATE_LOCK)


async def hold_gates(conn: Conn) -> None:
    """Wait for all who rely on a gate; until the transaction ends nobody else does."""
    await conn.execute(_HOLD_GATES, GATE_LOCK)


async def share_entry(conn: Conn) -> None:
    """Until the transaction ends no enrollment ends. A statement of its own, before any that reads a marker."""
    await conn.execute(_SHARE_ENTRY, ENTRY_LOCK)


async def hold_entry(conn: Conn) -> None:
    """Wait for all who put enrollments into the queue; until the transaction ends nobody else does."""
    await conn.execute(_HOLD_ENTRY, ENTRY_LOCK)


async def hold_books(conn: Conn) -> None:
    """Until the transaction ends nobody else rolls up books."""
    await conn.execute(_HOLD_BOOKS, BOOKS_LOCK)
