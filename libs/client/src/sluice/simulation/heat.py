"""Messages per hour as a grid, day by hour; how dark a cell is follows from the busiest one."""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from campaign.zones import instant

from sluice.simulation.forecast import Forecast
from sluice.simulation.scenario import Scenario

HOUR: Final = timedelta(hours=1)
HOURS: Final = range(24)
SHADES: Final = 6
"""How many shades there are for hours in which something is sent; 0 is none."""
QUIET_DAYS_SHOWN_MAX: Final = 2
"""Longer stretches of days without a message are one row."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One hour of one day, by the wall clock."""

    sent: int
    shade: int
    paused: bool
    exists: bool = True
    """False where the clocks are set forward over it."""


@dataclass(frozen=True, slots=True)
class Day:
    """One row."""

    day: date
    cells: tuple[Cell, ...]
    note: str = ""
    """What is special about that day: a clock change, a pause, an edit."""

    @property
    def sent(self) -> int:
        return sum(cell.sent for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Some days without a message, as one row."""

    days: int


def floor_of(shade: int, peak: int) -> int:
    """The fewest messages an hour that have this shade: the shades grow wider, so that peaks are told apart."""
    return max(1, math.ceil(peak * ((shade - 1) / SHADES) ** 2)) if shade else 0


def shade_of(sent: int, peak: int) -> int:
    """0 for none, 1 to 6 for the rest."""
    return max(shade for shade in range(SHADES + 1) if sent >= floor_of(shade, peak))


def grid(forecast: Forecast) -> list[Day | Quiet]:
    """The rows, from the first day of the simulation to the last on which something is sent."""
    scenario, zone = forecast.scenario, forecast.zone
    busiest = forecast.busiest
    if busiest is None:
        return []
    peak, sent_by_day = busiest[1], forecast.days()
    day, last = scenario.start.astimezone(zone).date(), max(sent_by_day)
    rows: list[Day | Quiet] = []
    quiet: list[Day] = []
    while day <= last:
        row = Day(day, tuple(_cell(forecast, day, hour, peak) for hour in HOURS), _note(scenario, day, zone))
        if row.sent or row.note:
            rows += _collapsed(quiet)
            quiet = []
            rows.append(row)
        else:
            quiet.append(row)
        day += timedelta(days=1)
    return rows


def _collapsed(quiet: list[Day]) -> list[Day | Quiet]:
    return [*quiet] if len(quiet) <= QUIET_DAYS_SHOWN_MAX else [Quiet(len(quiet))]


def _cell(forecast: Forecast, day: date, hour: int, peak: int) -> Cell:
    sent = forecast.hours.get((day, hour), 0)
    begins = wall_clock(day, hour, forecast.zone)
    middle = begins + HOUR / 2
    paused = any(
        pause.paused_at <= middle and (pause.resumed_at is None or middle < pause.resumed_at)
        for pause in forecast.scenario.pauses
    )
    exists = begins.astimezone(forecast.zone).hour == hour
    return Cell(sent, shade_of(sent, peak), paused and exists, exists)


def _note(scenario: Scenario, day: date, zone: tzinfo) -> str:
    notes = []
    length = wall_clock(day + timedelta(days=1), 0, zone) - wall_clock(day, 0, zone)
    if length != timedelta(days=1):
        hours = (length - timedelta(days=1)) / HOUR
        notes.append(f"{'clocks back' if hours > 0 else 'clocks forward'} {abs(hours):g} h")
    notes += [
        f"paused {_time(pause.paused_at, zone)}"
        for pause in scenario.pauses
        if pause.paused_at.astimezone(zone).date() == day
    ]
    notes += [
        f"resumed {_time(pause.resumed_at, zone)}"
        for pause in scenario.pauses
        if pause.resumed_at is not None and pause.resumed_at.astimezone(zone).date() == day
    ]
    notes += [
        f"version {number} {_time(edit.at, zone)}"
        for number, edit in enumerate(scenario.edits, start=2)
        if edit.at.astimezone(zone).date() == day
    ]
    return ", ".join(notes)


def _time(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%H:%M}"


def wall_clock(day: date, hour: int, zone: tzinfo) -> datetime:
    """When that hour begins on that day."""
    if isinstance(zone, ZoneInfo):
        return instant(day, time(hour), zone)
    return datetime.combine(day, time(hour), tzinfo=zone).astimezone(UTC)
