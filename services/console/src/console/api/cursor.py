"""Where a list goes on: the place behind its last item, as one text that only we read."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sluice_contracts.base import format_timestamp, parse_timestamp

SEPARATOR: Final = "~"
"""No id holds it."""


class BadCursor(Exception):
    """It is none that was given out."""


def written(*parts: str) -> str:
    """A cursor."""
    return SEPARATOR.join(parts)


def read(cursor: str | None, *, parts: int) -> tuple[str, ...] | None:
    """The parts of a cursor; None where there is none."""
    if not cursor:
        return None
    found = tuple(cursor.split(SEPARATOR))
    if len(found) != parts or "\x00" in cursor:
        raise BadCursor
    return found


def moment(at: datetime, event_id: str) -> str:
    """A cursor of a timeline."""
    return written(format_timestamp(at), event_id)


def read_moment(cursor: str | None) -> tuple[datetime, str] | None:
    """The place in a timeline."""
    found = read(cursor, parts=2)
    if found is None:
        return None
    try:
        return parse_timestamp(found[0]), str(UUID(found[1]))
    except (ValueError, OverflowError):
        raise BadCursor from None
