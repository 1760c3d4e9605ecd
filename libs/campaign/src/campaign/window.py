"""When messages may leave: on some days of the week, between two times of the wall clock, where the contact is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from campaign.zones import instant, zone_named

DAYS: Final[Mapping[str, int]] = {
    name: day for day, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
}
CONTACT: Final = "contact"
UTC_ZONE: Final = ZoneInfo("UTC")
DAYS_BACK: Final = 2
"""A range that opened the day before may be open still; where the date line moved, that day is two dates back."""
DAYS_AHEAD: Final = 16
"""Every range opens within a week, or within two where a zone has left out that day (Samoa, 30 December 2011)."""


@dataclass(frozen=True, slots=True)
class Window:
    """`[opens, closes)` on these days; a range that goes over midnight belongs to the day on which it opens."""

    days: frozenset[int]
    opens: time
    closes: time
    timezone: str = CONTACT
    fallback_timezone: str | None = None

    def zone(self, contact_timezone: str | None) -> ZoneInfo:
        """A fixed zone; else the contact's, else the fallback, else UTC. A name that is no zone is as none."""
        named = (self.timezone,) if self.timezone != CONTACT else (contact_timezone, self.fallback_timezone)
        return _first_zone(name for name in named if name)

    def next_open(self, moment: datetime, contact_timezone: str | None) -> datetime:
        """That moment where the window is open then, else when it opens next; in UTC."""
        zone = self.zone(contact_timezone)
        today = moment.astimezone(zone).date()
        over_midnight = timedelta(days=1 if self.closes <= self.opens else 0)
        for days in range(-DAYS_BACK, DAYS_AHEAD + 1):
            day = today + timedelta(days=days)
            if day.weekday() not in self.days:
                continue
            closes = instant(day + over_midnight, self.closes, zone)
            if closes <= moment:
                continue
            opens = instant(day, self.opens, zone)
            if opens < closes:  # a gap can swallow a range as a whole: then it does not open that day
                return max(moment, opens).astimezone(UTC)
        raise AssertionError("a window with a day opens within two weeks")


def read_window(delivery: Mapping[str, Any] | None) -> Window | None:
    """The window of a published definition; None where messages may leave at any time."""
    if delivery is None:
        return None
    return Window(
        days=frozenset(DAYS[day] for day in delivery["days"]),
        opens=time.fromisoformat(delivery["from"]),
        closes=time.fromisoformat(delivery["to"]),
        timezone=delivery.get("timezone") or CONTACT,
        fallback_timezone=delivery.get("fallback_timezone"),
    )


def _first_zone(names: Iterable[str]) -> ZoneInfo:
    return next((zone for name in names if (zone := zone_named(name)) is not None), UTC_ZONE)
