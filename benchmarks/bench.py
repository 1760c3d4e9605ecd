"""`make bench`: every figure by which Sluice is measured, each a ratio of two things measured in turns in one run."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from types import ModuleType
from typing import Final

from chassis.clock import monotonic
from devstack.stack import Stack
from rich.console import Console
from rich.table import Table

from benchmarks import figures, machine
from benchmarks.arena import EXIT_FAILED, EXIT_INTERRUPTED, database, run, terminal
from benchmarks.figures import Measured
from benchmarks.plot import drawn
from benchmarks.ratios import (
    channels,
    delivery,
    duplicates,
    halts,
    idle,
    imports,
    messaging,
    pause,
    queue,
    receipts,
    recovery,
    soak,
    telemetry,
)

MODULES: Final[tuple[ModuleType, ...]] = (
    delivery,
    channels,
    messaging,
    imports,
    queue,
    pause,
    receipts,
    recovery,
    duplicates,
    idle,
    telemetry,
)
LONG: Final[tuple[ModuleType, ...]] = (halts, soak)
"""Measured only where they are asked for by name."""
ROUNDS: Final = 5
BY_THEMSELVES: Final = {"R13": "make bench-halts", "R15": "make bench-soak", "R15b": "make bench-soak"}
COLUMNS: Final = ("", "what", "must", "aim", "measured", "spread", "rounds", "ours", "other", "", "taken")
HOW_TO_READ: Final = (
    "Must is the least that is asked for, aim what to be proud of. "
    "Measured is the median of what the rounds come to, mostly a ratio each (for counts that must be zero, the "
    "largest); ours and other are medians of their own, and their ratio is another. Under rounds stands how many of "
    "them by themselves reach what must be."
)
EXAMPLES: Final = """
examples:
  make bench                                   everything but R13 and R15; 5 rounds
  make bench ARGS="--only R1 --rounds 3"       one figure
  make bench-halts ARGS="--halts 50000"        R13, a run
  make bench-soak ARGS="--seconds 600"         R15, a run
  make bench ARGS="--show"                     the table of what was measured last
"""


def main() -> int:
    """0 where every figure reaches what it must, 1 where one does not, 2 where an argument is wrong, 130 where it was
    interrupted: what had been measured is kept and shown."""
    usual = [figure.name for module in MODULES for figure in module.FIGURES]
    names = usual + [figure.name for module in LONG for figure in module.FIGURES]
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="R1,R5", help="these figures and those measured together with them")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"turns of each pair ({ROUNDS})")
    parser.add_argument("--halts", type=int, default=halts.HALTS, metavar="N", help=f"of R13 ({halts.HALTS:,})")
    parser.add_argument(
        "--seconds", type=float, default=soak.SECONDS, metavar="S", help=f"of R15 ({soak.SECONDS:,.0f})"
    )
    parser.add_argument("--show", action="store_true", help="print the table, measure nothing")
    asked = parser.parse_args()
    only = asked.only.split(",") if asked.only else usual
    if unknown := sorted(set(only) - set(names)):
        parser.error(f"there is no figure {', '.join(unknown)}: there are {', '.join(names)}")
    if min(asked.rounds, asked.halts, asked.seconds) < 1:
        parser.error("--rounds, --halts and --seconds must be at least 1")
    console = terminal()
    if asked.show:
        kept = figures.kept(names)
        if kept:
            show(kept, console)
        console.print(_missing(kept, names), markup=False)
        return 0 if len(kept) == len(names) and all(one.holds for one in kept) else EXIT_FAILED
    amounts = {halts: {"halts": asked.halts}, soak: {"seconds": asked.seconds}}
    whole = (asked.rounds, asked.halts, asked.seconds) == (ROUNDS, halts.HALTS, soak.SECONDS)
    code, measured, failed = 0, list[Measured](), list[str]()
    for module in (*MODULES, *LONG):
        if code != EXIT_INTERRUPTED and {figure.name for figure in module.FIGURES} & set(only):
            before = len(measured)
            ended = _measure(module, console, asked.rounds, measured, **amounts.get(module, {}))
            code = max(code, ended)
            failing = [figure.name for figure in module.FIGURES] if ended == EXIT_FAILED else []
            failed += failing
            if whole:
                keep(measured[before:], failing, names)
    if not whole:
        console.print("A short look: nothing of it is kept.")
    if measured:
        show(measured, console)
    if failed:
        console.print(f"[red]Failed, so there is no figure[/red] (what was wrong stands above): {', '.join(failed)}")
    return max(code, 0 if all(one.holds for one in measured) else EXIT_FAILED)


def keep(measured: Sequence[Measured], failed: Sequence[str], names: Sequence[str]) -> None:
    """What was just measured, and the table and the picture of all that was measured last."""
    figures.forget(failed)
    for one in measured:
        figures.keep(one)
    kept = figures.kept(names)
    (figures.RESULTS.parent / "bench.md").write_text(as_text(kept, names=names))
    (figures.RESULTS.parent / "bench.svg").write_text(drawn(kept))


def _measure(module: ModuleType, console: Console, rounds: int, found: list[Measured], **amounts: float) -> int:
    began = monotonic()
    what = ", ".join(f"{figure.name} ({figure.title})" for figure in module.FIGURES)
    console.print(f"\n[bold]{what}[/bold]")

    async def measured(stack: Stack) -> bool:
        async with database(stack) as conn:
            about = await machine.described(conn)
        for one in await module.measure(stack, console, rounds, **amounts):
            one.machine = about
            found.append(one)
        return True

    services, env = getattr(module, "SERVICES", False), getattr(module, "ENV", {})
    code = run("bench", console, measured, services=services, env=env)
    console.print(f"  {monotonic() - began:.0f} s")
    return code


def command(name: str) -> str:
    """What measures a figure again, and those that are measured together with it."""
    return BY_THEMSELVES.get(name, f'make bench ARGS="--only {name}"')


def show(measured: Sequence[Measured], console: Console, *, repeats: Callable[[str], str] = command) -> None:
    """The table; of each figure the command that measures it again, and its settings; and what it was measured on."""
    console.print(HOW_TO_READ)
    table = Table(title="Figures: ours ÷ other", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("", "what") else "right", overflow="fold")
    for *cells, verdict, taken in _rows(measured):
        colour = "green" if verdict == "reached" else "red"
        table.add_row(*cells, f"[{colour}]{verdict}[/]", taken)
    console.print(table)
    for line in settings_of(measured, repeats):
        console.print(line, markup=False, soft_wrap=True)
    for one in measured[-1:]:
        console.print(machine.in_words(one.machine))


def settings_of(measured: Sequence[Measured], repeats: Callable[[str], str]) -> list[str]:
    """A line for each, and one for all that were measured with the same: how to measure again, and the settings."""
    alike = defaultdict[str, list[str]](list)
    for one in measured:
        alike[figures.in_words(one.settings)].append(one.figure.name)
    return [
        f"{', '.join(names)}: {repeats(names[0])}" + (f"; {settings}" if settings else "")
        for settings, names in alike.items()
    ]


def as_text(measured: Sequence[Measured], *, names: Sequence[str] = (), repeats: Callable[[str], str] = command) -> str:
    """The same table for the repository; below it how each figure is measured again, with what, and on what it was.

    Of `names` those that are not there are named: they were never measured, or failed.
    """
    missing = _missing(measured, names)
    return "\n".join(
        [
            f"How each is measured stands in [the README](../README.md); the command that measures it again below. "
            f"{HOW_TO_READ}",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---|---|",
            *(f"| {' | '.join(cells)} |" for cells in _rows(measured)),
            "",
            *([missing, ""] if missing else []),
            "<details>",
            "<summary>Command, settings and machine of each figure; in brackets what ours and other are</summary>",
            "",
            *_sources(measured, repeats),
            "",
            "</details>",
            "",
        ]
    )


def _missing(measured: Sequence[Measured], names: Sequence[str]) -> str:
    """Which of these there are not, in a sentence; empty where all are."""
    found = {one.figure.name for one in measured}
    missing = [name for name in names if name not in found]
    return f"There is no figure of {', '.join(missing)}: never measured, or measuring it failed." if missing else ""


def _sources(measured: Sequence[Measured], repeats: Callable[[str], str]) -> Iterator[str]:
    """A paragraph for all that were measured together: they have the same settings and machine."""
    together = defaultdict[tuple[str, str], list[Measured]](list)
    for one in measured:
        about = f"{one.machine['measured_at']} on {machine.in_words(one.machine)}"
        together[figures.in_words(one.settings), about].append(one)
    for (settings, about), several in together.items():
        names = ", ".join(
            f"**{', '.join(one.figure.name for one in alike)}** ({of})"
            for of, alike in groupby(several, key=attrgetter("of"))
        )
        yield f"- {names}: `{repeats(several[0].figure.name)}`"
        yield f"  - with {settings}"
        yield f"  - {about}"


def _rows(measured: Sequence[Measured]) -> list[list[str]]:
    return [
        [
            one.figure.name,
            one.figure.title,
            _bound(one.figure.at_least, one),
            _bound(one.figure.aim, one),
            f"{_digits(one.value)}{one.figure.unit}",
            f"{_digits(one.spread[0])}-{_digits(one.spread[1])}",
            f"{one.rounds_that_hold} of {len(one.rounds)}",
            _many(one.ours),
            "" if one.other is None else _many(one.other),
            "reached" if one.holds else "not reached",
            f"{one.machine['measured_at'][:10]} {one.machine.get('commit', '')}".rstrip(),
        ]
        for one in measured
    ]


def _digits(value: float) -> str:
    """Three that count: enough to tell what reaches a bound from what does not."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _many(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3f}"


def _bound(value: float, one: Measured) -> str:
    return f"{'≥' if one.figure.better == 'more' else '≤'} {value:g}{one.figure.unit}"


if __name__ == "__main__":
    sys.exit(main())
