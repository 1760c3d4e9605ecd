"""Time zones by name, and what a wall clock's time is as an instant."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

ZONES_KEPT_MAX: Final = 1_024
INSTANTS_KEPT_MAX: Final = 65_536
SECOND: Final = timedelta(seconds=1)


@lru_cache(maxsize=ZONES_KEPT_MAX)
def zone_named(name: str) -> ZoneInfo | None:
    """The zone of that name; None where there is none. What a contact's record names may be any text."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # KeyError: no such zone; the others: no name of a zone at all
        return None


def zone_names() -> frozenset[str]:
    """Every name that there is."""
    return frozenset(available_timezones())


@lru_cache(maxsize=INSTANTS_KEPT_MAX)
def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When the wall clock shows that time on that day, in UTC.

    A time that a spring gap leaves out is the first instant after the gap; of one that an autumn fold shows twice it is
    the first.
    """
    local = datetime.combine(day, at, tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """The clocks are set forward between the two readings of a time that is not there: before and after (PEP 495)."""
    after = local.replace(fold=0).astimezone(UTC)
    before = local.replace(fold=1).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    while after - before > SECOND:
        middle = before + timedelta(seconds=(after - before) // SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
