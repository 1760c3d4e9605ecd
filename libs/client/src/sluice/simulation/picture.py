"""The heat map of a simulation as an SVG: one file, without scripts, fonts or anything from elsewhere."""

from collections.abc import Iterable, Iterator
from typing import Final
from xml.sax.saxutils import escape

from sluice.simulation.forecast import Forecast
from sluice.simulation.heat import HOURS, SHADES, Cell, Day, Quiet, floor_of, grid

COLOURS: Final = ("#eef1f5", "#cfe3f3", "#9fc9e6", "#64a6d4", "#3580bd", "#195c9a", "#0b3a6b")
"""By shade; the first is an hour without a message."""
INK: Final = "#1f2933"
FAINT: Final = "#6b7785"
BAR: Final = "#8fb3d1"
HATCH: Final = "#c2410c"

CELL_WIDTH: Final = 25
CELL_HEIGHT: Final = 18
GAP: Final = 2
LEFT: Final = 118
TOP: Final = 96
BAR_WIDTH_MAX: Final = 96
BAR_LEFT: Final = LEFT + len(HOURS) * CELL_WIDTH + 14
WIDTH: Final = BAR_LEFT + BAR_WIDTH_MAX + 80
CHARACTER_WIDTH: Final = 6
FOOT: Final = 64


def draw(forecast: Forecast, *, title: str, zone_name: str) -> str:
    """The whole file."""
    rows = grid(forecast)
    width = WIDTH + CHARACTER_WIDTH * max((len(row.note) for row in rows if isinstance(row, Day)), default=0)
    height = TOP + max(1, len(rows)) * CELL_HEIGHT + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(20, 34, title, size=18, weight=600),
        _text(20, 56, _summary(forecast, zone_name), fill=FAINT),
        *_hours(),
    ]
    day_peak = max(forecast.days().values(), default=0)
    for number, row in enumerate(rows):
        top = TOP + number * CELL_HEIGHT
        parts += _quiet(row, top) if isinstance(row, Quiet) else _day(row, top, day_peak)
    if not rows:
        parts.append(_text(LEFT, TOP + 13, "Nothing is sent.", fill=FAINT))
    parts += _legend(forecast, rows, height - FOOT + 26)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _summary(forecast: Forecast, zone_name: str) -> str:
    busiest = forecast.busiest
    if busiest is None:
        return f"{forecast.people.count:,} contacts, no message"
    (day, hour), peak = busiest
    return (
        f"{forecast.sent:,} messages to {forecast.entered:,} contacts, by hour of {zone_name} "
        f"· busiest {day:%a %d %b} {hour:02}:00 with {peak:,}"
    )


def _hours() -> Iterator[str]:
    for hour in HOURS:
        if hour % 3 == 0:
            yield _text(LEFT + hour * CELL_WIDTH, TOP - 8, f"{hour:02}", fill=FAINT)
    yield _text(BAR_LEFT, TOP - 8, "messages a day", fill=FAINT)


def _day(row: Day, top: int, day_peak: int) -> Iterator[str]:
    weekend = row.day.weekday() >= 5
    label = f"{row.day:%a %d %b}"
    yield _text(LEFT - 12, top + 13, label, anchor="end", fill=FAINT if weekend else INK)
    for hour, cell in enumerate(row.cells):
        yield from _cell(cell, LEFT + hour * CELL_WIDTH, top, f"{label}, {hour:02}:00")
    end = BAR_LEFT
    if row.sent:
        width = max(1.0, BAR_WIDTH_MAX * row.sent / day_peak)
        yield f'<rect x="{BAR_LEFT}" y="{top + 3}" width="{width:.1f}" height="{CELL_HEIGHT - 8}" fill="{BAR}" rx="2"/>'
        end = BAR_LEFT + round(width) + 6
        yield _text(end, top + 13, f"{row.sent:,}", size=11)
        end += 8 + 7 * len(f"{row.sent:,}")
    if row.note:
        yield _text(end, top + 13, row.note, size=11, fill=FAINT)


def _cell(cell: Cell, left: int, top: int, label: str) -> Iterator[str]:
    if not cell.exists:
        outline = f'fill="none" stroke="{COLOURS[1]}" stroke-dasharray="2 2"'
        yield _box(left, top, outline, said=f"{label}: left out by the clock change")
        return
    said = f"{label}: {cell.sent:,} messages" + (", paused" if cell.paused else "")
    yield _box(left, top, f'fill="{COLOURS[cell.shade]}"', said=said)
    if cell.paused:
        yield _hatching(left, top)


def _box(left: int, top: int, look: str, *, said: str = "") -> str:
    size = f'width="{CELL_WIDTH - GAP}" height="{CELL_HEIGHT - GAP}" rx="2"'
    tooltip = f"<title>{said}</title>" if said else ""
    return f'<rect x="{left}" y="{top}" {size} {look}>{tooltip}</rect>'


def _hatching(left: int, top: int) -> str:
    """Slanted lines, each cut off at the edges of its cell: not every viewer knows patterns or clips."""
    width, height = CELL_WIDTH - GAP, CELL_HEIGHT - GAP
    lines = []
    for foot in range(4 - height, width, 6):  # where the line would meet the bottom edge
        first, last = max(0, -foot), min(height, width - foot)
        lines.append(f"M{left + foot + first} {top + height - first}L{left + foot + last} {top + height - last}")
    return f'<path d="{"".join(lines)}" stroke="{HATCH}" stroke-opacity="0.5" fill="none" pointer-events="none"/>'


def _quiet(row: Quiet, top: int) -> Iterator[str]:
    middle = top + CELL_HEIGHT // 2
    end = LEFT + len(HOURS) * CELL_WIDTH
    yield _text(LEFT - 12, top + 13, f"{row.days} days", anchor="end", fill=FAINT)
    yield f'<path d="M{LEFT} {middle}H{end}" stroke="{COLOURS[1]}" stroke-dasharray="3 4"/>'
    yield _text(BAR_LEFT, top + 13, "none", size=11, fill=FAINT)


def _legend(forecast: Forecast, rows: Iterable[Day | Quiet], top: int) -> Iterator[str]:
    busiest = forecast.busiest
    if busiest is None:
        return
    left, peak = LEFT, busiest[1]
    yield _text(left - 12, top + 12, "messages an hour", anchor="end", size=11, fill=FAINT)
    before = 0
    for shade in range(SHADES + 1):
        least = floor_of(shade, peak) if shade else 0
        if shade and least <= before:
            continue  # with a small peak there are fewer steps than shades
        label = f"{least:,}+" if shade else "0"
        yield _box(left, top, f'fill="{COLOURS[shade]}"')
        yield _text(left + CELL_WIDTH + 3, top + 12, label, size=11, fill=FAINT)
        left, before = left + CELL_WIDTH + 14 + 7 * len(label), least
    if any(cell.paused for row in rows if isinstance(row, Day) for cell in row.cells):
        yield _box(left, top, f'fill="{COLOURS[0]}"')
        yield _hatching(left, top)
        yield _text(left + CELL_WIDTH + 3, top + 12, "paused", size=11, fill=FAINT)


def _text(
    left: float, top: float, text: str, *, size: int = 12, weight: int = 400, fill: str = INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{left}" y="{top}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
