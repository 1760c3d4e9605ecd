"""`python -m testkit.checker DIRECTORY`: judge a history that was kept, again."""

import argparse
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from testkit.checker.check import judge
from testkit.checker.facts import Facts
from testkit.checker.history import History
from testkit.checker.invariants.stops import residue

SHOWN_MAX: Final = 5


def main() -> int:
    """0 where every promise holds, 1 where one does not."""
    parser = argparse.ArgumentParser(prog="python -m testkit.checker", description=__doc__)
    parser.add_argument("directory", type=Path)
    asked = parser.parse_args()
    history = History.read(asked.directory)
    return show(history, Console())


def show(history: History, console: Console) -> int:
    """The table, the first violations of each promise, and the exit code."""
    verdict = judge(history)
    table = Table("promise", "violations", "the first")
    for name, broken in verdict.items():
        table.add_row(name, f"[red]{len(broken)}[/red]" if broken else "0", str(broken[0]) if broken else "")
    console.print(table)
    late = residue(Facts(history))
    if late:
        console.print(f"{len(late)} sends of frozen processes, at most {max(one.seconds for one in late):.3f} s late")
    for broken in verdict.values():
        for one in broken[1:SHOWN_MAX]:
            console.print(f"[red]{one}[/red]")
    first = min((one for broken in verdict.values() for one in broken), default=None)
    console.print("[green]every promise held[/green]" if first is None else f"[red]first: {first}[/red]")
    return 0 if first is None else 1


if __name__ == "__main__":
    sys.exit(main())
