"""The one place of the client that reads clocks and makes ids."""

import time
import uuid
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that only grow, for measuring how long something takes."""
    return time.monotonic()


def new_id() -> str:
    """A random id in the form of a UUID."""
    return str(uuid.uuid4())
