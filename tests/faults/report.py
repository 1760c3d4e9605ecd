"""The table of scenes and promises, row by row as they are played."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from testkit.checker import INVARIANTS

from tests.faults.planted import FoundOut, Planted
from tests.faults.scene import Outcome, Scene, causes

SHOWN_MAX: Final = 3
TOLD_MAX: Final = 8


@dataclass
class Report:
    """Says each scene when it is over, and all of them at the end."""

    console: Console
    seed: int
    kept: Path
    bug: str | None = None
    """What is planted while scenes are played."""
    outcomes: list[Outcome] = field(default_factory=list)
    planted: list[FoundOut] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What this machine does not let be played."""
    _expected: int = 0
    _begun: int = 0

    def expect(self, count: int) -> None:
        """So many scenes and bugs are to be played."""
        self._expected += count

    def begin(self, name: str) -> None:
        """One of them is."""
        self._begun += 1
        self.say(f"{self._begun} of {self._expected}: {name} …")

    def say(self, what: str) -> None:
        """What goes on."""
        self.console.print(f"[dim]{what}[/dim]")

    def played(self, outcome: Outcome) -> None:
        """One row."""
        self.outcomes.append(outcome)
        sends = sum(one.accepted for one in outcome.history.arrivals)
        self.console.print(
            f"{_word(outcome)}  {outcome.scene.name:<26} {outcome.seconds:5.1f} s  {sends:>5} arrivals  "
            f"{len(outcome.history.clients):>4} commands  [dim]{_told(outcome)}[/dim]"
        )
        if outcome.late:
            late = [one.seconds for one in outcome.late]
            self.console.print(f"        {len(late)} sends of frozen processes, at most {max(late):.3f} s late")
        if outcome.failed is not None:
            self.console.print(f"        [red]{outcome.failed}[/red]", soft_wrap=True)
        if outcome.left:
            self.console.print(f"        [red]not at rest: {outcome.left}[/red]")
        for broken in outcome.verdict.values():
            for one in broken[:SHOWN_MAX]:
                self.console.print(f"        [red]{one}[/red]", soft_wrap=True)
        if outcome.broken:
            self._judge_again(outcome)
            self._again(outcome.scene)

    def found(self, found: FoundOut) -> None:
        """Whether a planted bug was found."""
        self.planted.append(found)
        word = "[green]found[/green]" if found.named else "[red]NOT FOUND[/red]"
        others = [f"{name} ({len(broken)}: {broken[0]})" for name, broken in found.outcome.verdict.items() if broken]
        sentence = found.sentence or f"broken was only: {'; '.join(others) or 'nothing'}"
        self.console.print(
            f"{word}  {found.planted.name:<26} {found.outcome.seconds:5.1f} s  {sentence} "
            f"[dim]{_told(found.outcome)}[/dim]",
            soft_wrap=True,
        )
        if found.outcome.failed is not None:
            self.console.print(f"        [red]{found.outcome.failed}[/red]", soft_wrap=True)
        if not found.named:
            self._judge_again(found.outcome)
            self._again(found.planted)

    def _judge_again(self, outcome: Outcome) -> None:
        folder = self.kept / f"{outcome.scene.name}-{outcome.seed}"
        if folder.exists():
            self.console.print(f"        judge it again: .venv/bin/python -m testkit.checker {folder}", soft_wrap=True)

    def _again(self, what: Scene | Planted) -> None:
        chosen = f"--scene {what.name}" if isinstance(what, Scene) else f"--plant {what.name}"
        bug = f" --bug {self.bug}" if self.bug else ""
        command = f'make faults ARGS="{chosen}{bug} --seed {self.seed}"'
        self.console.print(f"        play it again: {command}", soft_wrap=True)

    def unplayed(self, what: Scene | Planted, error: BaseException) -> None:
        """One that could not be played to its end."""
        self.failed([what.name], error)
        self._again(what)

    def failed(self, names: Sequence[str], error: BaseException) -> None:
        """Those could not be played."""
        self.failures += names
        self.console.print(f"[red]FAILED[/red]  {', '.join(names)}: {causes(error)}", soft_wrap=True)

    def skip(self, name: str, reason: BaseException) -> None:
        """A scene that was not played."""
        self.skipped.append(name)
        self.console.print(f"[yellow]skipped[/yellow]  {name}: {reason}")

    def end(self) -> int:
        """All of it as tables; the exit code."""
        if self.outcomes:
            table = Table("scene", "s", "arrivals", *INVARIANTS, "late", title="violations, by scene and promise")
            for outcome in self.outcomes:
                counts = [_count(len(broken)) for broken in outcome.verdict.values()]
                name = f"[red]{outcome.scene.name}[/red]" if outcome.broken else outcome.scene.name
                arrivals = str(sum(one.accepted for one in outcome.history.arrivals))
                table.add_row(name, f"{outcome.seconds:.0f}", arrivals, *counts, str(len(outcome.late) or ""))
            self.console.print(table)
        if self.planted:
            table = Table("planted bug", "breaks", "found", title="planted bugs")
            for found in self.planted:
                named = "[green]yes[/green]" if found.named else "[red]no[/red]"
                table.add_row(found.planted.name, found.planted.invariant, named)
            self.console.print(table)
        bad = [one.scene.name for one in self.outcomes if one.broken]
        bad += [one.planted.name for one in self.planted if not one.named]
        bad += self.failures
        if self.skipped:
            self.console.print(f"[yellow]not played: {', '.join(self.skipped)}[/yellow]")
        if bad:
            self.console.print(f"[red]BROKEN: {', '.join(bad)}[/red]")
        elif self.outcomes or self.planted:
            shown = ["every promise held"] if self.outcomes else []
            shown += ["each planted bug was found"] if self.planted else []
            played = " in what was played" if self.skipped else ""
            self.console.print(f"[green]{'; '.join(shown)}{played}[/green]")
        return 1 if bad or self.skipped else 0


def _word(outcome: Outcome) -> str:
    if any(outcome.verdict.values()) or outcome.left:
        return "[red]BROKEN[/red]"
    return "[red]FAILED[/red]" if outcome.failed is not None else "[green]held[/green]"


def _told(outcome: Outcome) -> str:
    """What was done, the beginning and the end of it."""
    told = outcome.told
    return "; ".join(told if len(told) <= TOLD_MAX else (*told[: TOLD_MAX - 2], "…", *told[-2:]))


def _count(number: int) -> str:
    return f"[red]{number}[/red]" if number else "[dim]0[/dim]"
