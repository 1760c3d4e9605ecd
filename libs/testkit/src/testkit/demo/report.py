"""How the demo speaks: acts, facts, and the table at its end."""

import sys
from dataclasses import dataclass, field
from typing import Final

from chassis.clock import monotonic
from rich.console import Console
from rich.table import Table

FILE_WIDTH: Final = 150


@dataclass(slots=True)
class Report:
    """The story as it is told, and the promises as they are counted."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True, width=_width()))
    promises: list[tuple[str, str, bool]] = field(default_factory=list)
    began: float = field(default_factory=monotonic)

    def act(self, title: str) -> None:
        """A new act begins."""
        self.console.print(f"\n[bold]{monotonic() - self.began:5.1f} s  {title}[/bold]")

    def fact(self, text: str) -> None:
        """Something that was seen."""
        self.console.print(f"         {text}")

    def promise(self, what: str, counted: str, holds: bool) -> None:
        """One promise: what was counted, and whether it holds."""
        self.promises.append((what, counted, holds))
        self.console.print(
            f"         [{'green' if holds else 'red'}]{'ok' if holds else 'BROKEN'}[/]  {what}: {counted}"
        )

    def table(self) -> bool:
        """Print every promise; whether all of them hold."""
        table = Table(title="What was promised, and what was counted", title_justify="left")
        table.add_column("promise")
        table.add_column("counted")
        table.add_column("")
        for what, counted, holds in self.promises:
            table.add_row(what, counted, _verdict(holds))
        self.console.print()
        self.console.print(table)
        return bool(self.promises) and all(holds for _, _, holds in self.promises)


def _width() -> int | None:
    """A terminal says how wide it is; a file is as wide as the table needs."""
    return None if sys.stdout.isatty() else FILE_WIDTH


def _verdict(holds: bool) -> str:
    return "[green]ok[/green]" if holds else "[red]BROKEN[/red]"
