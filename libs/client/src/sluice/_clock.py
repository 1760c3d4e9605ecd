"""The one place of the client that reads clocks and makes ids."""

import time
import uuid
from datetime import UTC, datetime
from secrets import randbits


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that only grow, for measuring how long something takes."""
    return time.monotonic()


def new_id() -> str:
    """A fresh id: a UUID of version 7 (RFC 9562), so that what is asked for together stands together in an index."""
    milliseconds = time.time_ns() // 1_000_000
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | randbits(12) << 64 | 2 << 62 | randbits(62)))
