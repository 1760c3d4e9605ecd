"""How moments, pauses and edits are written on the command line."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from campaign.overdue import Overdue
from campaign.zones import instant
from sluice_contracts.definition import parse_after

from sluice.simulation.scenario import Pause, UnusableScenario

MOMENT_RULE: Final = "must be a duration from the start (+12h30m) or a time (2027-03-26T08:00, with or without offset)"
PAUSE_RULE: Final = "must be FROM..TO, then :shift, :send-now, :send-now:MAX_LATENESS or :skip, then :admit, as wanted"
EDIT_RULE: Final = "must be TIME=FILE or TIME=FILE:pin"

OVERDUE: Final[Mapping[str | None, Overdue]] = {
    None: "shift",
    "shift": "shift",
    "send-now": "send_now",
    "send_now": "send_now",
    "skip": "skip",
}

_PAUSE: Final = re.compile(
    r"(?P<begins>.+?)\.\.(?P<ends>.*?)"
    r"(?::(?P<overdue>shift|send-now|send_now|skip)(?::(?P<lateness>\d[0-9dhms]*))?)?(?P<admit>:admit)?"
)


@dataclass(frozen=True, slots=True)
class EditGiven:
    """An edit as it was written."""

    at: datetime
    file: str
    in_flight: Literal["follow", "pin"]


def read_time(text: str, zone: tzinfo) -> datetime:
    """A date or a time, by the zone's wall clock where it has no offset; in UTC. Raises ValueError with the rule."""
    try:
        found = datetime.fromisoformat(text.strip())
        if found.tzinfo is not None:
            return found.astimezone(UTC)
        if isinstance(zone, ZoneInfo):
            return instant(found.date(), found.time(), zone)
        return found.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time, such as 2027-03-26T08:00") from None


def read_moment(text: str, *, start: datetime, zone: tzinfo, place: str) -> datetime:
    """A duration from the start, or a time. Raises UnusableScenario."""
    try:
        return start + parse_after(text.strip().removeprefix("+"))
    except (ValueError, OverflowError):
        pass
    try:
        return read_time(text, zone)
    except ValueError:
        raise UnusableScenario(f"{place}: {MOMENT_RULE}") from None


def read_pause(text: str, *, moment: Callable[[str], datetime], place: str) -> Pause:
    """`2d..3d`, `2d..3d:skip`, `2d..` (to the end), `2d..3d:send-now:2h:admit`. Raises UnusableScenario."""
    found = _PAUSE.fullmatch(text.strip())
    if found is None:
        raise UnusableScenario(f"{place}: {PAUSE_RULE}")
    lateness, overdue = found["lateness"], OVERDUE[found["overdue"]]
    if lateness is not None and overdue != "send_now":
        raise UnusableScenario(f"{place}: only send-now takes a max lateness")
    return Pause(
        paused_at=moment(found["begins"]),
        resumed_at=moment(found["ends"]) if found["ends"] else None,
        overdue=overdue,
        max_lateness=None if lateness is None else _lateness(lateness, place),
        admit=found["admit"] is not None,
    )


def read_edit(text: str, *, moment: Callable[[str], datetime], place: str) -> EditGiven:
    """`5d=welcome-2.json`, `5d=welcome-2.json:pin`. Raises UnusableScenario."""
    at, separator, file = text.partition("=")
    in_flight: Literal["follow", "pin"] = "follow"
    if not Path(file).exists() and file.endswith(":pin"):
        file, in_flight = file.removesuffix(":pin"), "pin"
    elif not Path(file).exists():
        file = file.removesuffix(":follow")
    if not separator or not file:
        raise UnusableScenario(f"{place}: {EDIT_RULE}")
    return EditGiven(moment(at), file, in_flight)


def _lateness(text: str, place: str) -> timedelta:
    try:
        return parse_after(text)
    except (ValueError, OverflowError):
        raise UnusableScenario(f"{place}: the max lateness must be a duration such as 2h") from None
