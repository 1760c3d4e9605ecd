"""What a figure is: two measurements made in turns in one run, their ratio, and what it must reach."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

import orjson

Rate = Callable[[], Awaitable[float]]
RESULTS: Final = Path(__file__).parent / "results" / "figures"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `better` says which way is good; `unit` is empty where it is a ratio."""

    name: str
    title: str
    at_least: float
    """What it must reach; where less is better, what it may come to at most."""
    aim: float
    better: Literal["more", "less"] = "more"
    unit: str = ""

    def reached(self, value: float) -> bool:
        """Whether a value is what it must be."""
        return value >= self.at_least if self.better == "more" else value <= self.at_least


@dataclass(frozen=True, slots=True)
class Round:
    """One pair of measurements, and what they come to: mostly `ours / other`."""

    value: float
    ours: float
    other: float | None = None


@dataclass(slots=True)
class Measured:
    """A figure with all of its rounds, and what it was measured on."""

    figure: Figure
    rounds: list[Round]
    of: str = ""
    """What `ours` and `other` are: messages a second, milliseconds, …"""
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    """As it was before the first round."""

    @property
    def value(self) -> float:
        """The median of the rounds; for counts that must be zero, the largest."""
        values = [one.value for one in self.rounds]
        return median(values) if self.figure.at_least else max(values)

    @property
    def ours(self) -> float:
        """The median of our side."""
        return median(one.ours for one in self.rounds)

    @property
    def other(self) -> float | None:
        """The median of the other side, where there is one."""
        others = [one.other for one in self.rounds if one.other is not None]
        return median(others) if others else None

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most of the rounds."""
        values = [one.value for one in self.rounds]
        return min(values), max(values)

    @property
    def holds(self) -> bool:
        """Whether it reaches what it must."""
        return self.figure.reached(self.value)

    @property
    def rounds_that_hold(self) -> int:
        """How many of the rounds by themselves reach what must be."""
        return sum(self.figure.reached(one.value) for one in self.rounds)


def ratio(ours: float, other: float) -> Round:
    """The usual round."""
    return Round(ours / other, ours, other)


async def in_turns(number: int, ours: Rate, *others: Rate) -> list[Round]:
    """One round of all: ours beside each of the others. The order is turned round with each: what one leaves to the
    disk is written during the next."""
    sides = (ours, *others)
    order = range(len(sides)) if number % 2 else reversed(range(len(sides)))
    rates = {place: await sides[place]() for place in order}
    return [ratio(rates[0], rates[place]) for place in range(1, len(sides))]


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings in one line; those that belong together stand in brackets."""
    return "; ".join(f"{name}: {_said(value)}" for name, value in settings.items())


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({in_words(value)})"
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def keep(measured: Measured) -> None:
    """Write a figure where the table of all is made from."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = asdict(measured) | {"value": measured.value, "spread": measured.spread, "holds": measured.holds}
    (RESULTS / f"{measured.figure.name}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def forget(names: Iterable[str]) -> None:
    """Keep these no longer: where measuring them fails, what they were before is not known to hold."""
    for name in names:
        (RESULTS / f"{name}.json").unlink(missing_ok=True)


def kept(names: Sequence[str]) -> list[Measured]:
    """The figures that were measured last, in this order, as far as there are any."""
    found = []
    for name in names:
        file = RESULTS / f"{name}.json"
        if file.exists():
            said = orjson.loads(file.read_bytes())
            rounds = [Round(**one) for one in said["rounds"]]
            found.append(Measured(Figure(**said["figure"]), rounds, said["of"], said["settings"], said["machine"]))
    return found
