"""The figures as a picture: how far each is from what it must reach, on a logarithmic scale."""

from collections.abc import Sequence
from math import log10
from typing import Final
from xml.etree import ElementTree

from benchmarks.figures import Figure, Measured

WIDTH: Final = 980
ROW: Final = 26
LEFT: Final = 430
RIGHT: Final = 130
TOP: Final = 46
TIMES_MAX: Final = 30.0
"""So many times better or worse than asked is the edge of the picture."""
GOOD, BAD, FAINT, DARK = "#2e7d32", "#c62828", "#9e9e9e", "#212121"
STYLE: Final = "font-family: system-ui, sans-serif; font-size: 13px"


def drawn(measured: Sequence[Measured]) -> str:
    """An SVG document: a bar to the right reaches what it must, one to the left does not; the stroke is the aim."""
    height = TOP + ROW * len(measured) + 30
    svg = ElementTree.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", width=str(WIDTH), style=STYLE
    )
    _rect(svg, 0, 0, WIDTH, height, "#ffffff")
    for times, label in ((0.1, "a tenth"), (1.0, "must be"), (10.0, "ten times")):
        _line(svg, _x(times), TOP - 8, _x(times), height - 24, FAINT)
        _text(svg, _x(times), TOP - 16, label, anchor="middle")
    for number, one in enumerate(measured):
        _row(svg, TOP + number * ROW, one)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def times_better(figure: Figure, value: float) -> float | None:
    """How many times better than it must be a value is; None where it must be nothing at all."""
    if figure.at_least == 0:
        return None
    if value <= 0:
        return TIMES_MAX if figure.better == "less" else 1 / TIMES_MAX
    return value / figure.at_least if figure.better == "more" else figure.at_least / value


def _row(svg: ElementTree.Element, top: int, one: Measured) -> None:
    figure, middle = one.figure, top + ROW // 2
    colour = GOOD if one.holds else BAD
    title = f"{figure.name}  {figure.title}"
    _text(svg, LEFT - 12, middle + 4, title if len(title) < 64 else f"{title[:62]}…", anchor="end")
    value = f"{one.value:,.3g}{' ' + figure.unit if figure.unit else ''}"
    _text(svg, WIDTH - RIGHT + 12, middle + 4, f"{value} ({figure.at_least:g})", colour=colour)
    times = times_better(figure, one.value)
    if times is None:
        return
    start, end = sorted((_x(1.0), _x(times)))
    _rect(svg, start, top + 6, max(end - start, 1.0), ROW - 12, colour)
    least, most = (times_better(figure, edge) or 1.0 for edge in one.spread)
    _line(svg, _x(least), middle, _x(most), middle, DARK)
    aim = times_better(figure, figure.aim)
    if aim is not None:
        _line(svg, _x(aim), top + 3, _x(aim), top + ROW - 3, DARK)


def _x(times: float) -> float:
    span = WIDTH - LEFT - RIGHT
    place = min(max(log10(times) / log10(TIMES_MAX), -1.0), 1.0)
    return LEFT + span * (place + 1.0) / 2.0


def _rect(svg: ElementTree.Element, x: float, y: float, width: float, height: float, fill: str) -> None:
    size = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
    ElementTree.SubElement(svg, "rect", {**size, "fill": fill})


def _line(svg: ElementTree.Element, x1: float, y1: float, x2: float, y2: float, stroke: str) -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    ElementTree.SubElement(svg, "line", {**ends, "stroke": stroke, "stroke-width": "1.5"})


def _text(
    svg: ElementTree.Element, x: float, y: float, words: str, *, anchor: str = "start", colour: str = DARK
) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": colour}
    ElementTree.SubElement(svg, "text", place).text = words
