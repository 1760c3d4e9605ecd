"""The zone in which times are shown, and its name."""

import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from campaign.zones import zone_named

from sluice.errors import SluiceError

VARIABLE: Final = "TZ"
LOCALTIME: Final = Path("/etc/localtime")
ZONES_FOLDER: Final = "zoneinfo/"


class UnknownZone(SluiceError):
    """There is no zone of that name."""


def find_zone(name: str | None = None) -> ZoneInfo:
    """The zone named, else the machine's, else UTC. Raises UnknownZone for a name that is none."""
    if name is not None:
        found = zone_named(name)
        if found is None:
            raise UnknownZone("--zone: must be the name of a time zone, such as Europe/Paris")
        return found
    return zone_named(_name_of_here()) or ZoneInfo("UTC")


def zone_name(zone: tzinfo) -> str:
    return zone.key if isinstance(zone, ZoneInfo) else str(zone)


def shown(moment: datetime, zone: tzinfo) -> str:
    """A moment by the zone's wall clock, with the short name that the zone has then."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S} {local:%Z}"


def as_json(moment: datetime | None, zone: tzinfo = UTC) -> str | None:
    """RFC 3339 with the zone's offset."""
    return None if moment is None else moment.astimezone(zone).isoformat(timespec="seconds")


def _name_of_here() -> str:
    """What TZ says, else where /etc/localtime points to; an empty name where neither says one."""
    variable = os.environ.get(VARIABLE, "").removeprefix(":")
    if variable:
        return variable
    try:
        target = str(LOCALTIME.resolve())
    except OSError:
        return ""
    return target.partition(ZONES_FOLDER)[2]
