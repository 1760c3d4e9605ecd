"""What the command line shows: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text
from sluice_contracts.base import Part

from sluice._clock import monotonic
from sluice.errors import CommandRefused, NotAnswered
from sluice.table import InvalidLine

LINES_SHOWN_MAX: Final = 20
PLAIN_LINE_SECONDS: Final = 2.0
PIPE_WIDTH: Final = 1_000


def printable(text: object) -> str:
    """A text of others, without the control characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "�" for character in str(text))


class Screen:
    """One command's output. With `as_json` stdout holds JSON and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        width = None if is_terminal(sys.stdout) else PIPE_WIDTH
        self._out = Console(file=sys.stdout, width=width, highlight=False, soft_wrap=True)
        self._err = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def result(self, sentence: str, values: Mapping[str, Any]) -> None:
        """What the command brought: the sentence for people, the values for programs."""
        if self.as_json:
            self.write_json(values)
        else:
            self.say(sentence)

    def say(self, sentence: str) -> None:
        """A line for people who read the result."""
        self._out.print(Text(printable_lines(sentence)))

    def paint(self, text: Text) -> None:
        """A line with colours; of texts of others only what is printable."""
        self._out.print(text)

    def clear(self) -> None:
        """Begin at the top again, where people look at a terminal."""
        self._out.clear()

    @property
    def has_colours(self) -> bool:
        return self._out.is_terminal and self._out.color_system is not None

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._out.print(table, soft_wrap=False)

    def note(self, sentence: str) -> None:
        """A line beside the result."""
        self._err.print(Text(printable_lines(sentence)))

    def write_json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def fail(self, sentence: str, **error: Any) -> None:
        """Why it did not work: a sentence; for programs an object with one key, `error`, whose `detail` it is."""
        if self.as_json:
            told = {name: value for name, value in error.items() if value is not None}
            self.write_json({"error": {"detail": sentence, **told}})
        self._err.print(Text(printable_lines(sentence), style="red"))

    def refused(self, error: CommandRefused) -> None:
        lines = [error.detail if isinstance(error, NotAnswered) else f"Refused ({error.code}): {error.detail}"]
        lines += [f"  {fault.place}: {fault.rule}" for fault in error.faults]
        faults = [{"place": fault.place, "rule": fault.rule} for fault in error.faults]
        self.fail(
            "\n".join(lines), code=error.code, detail=error.detail, faults=faults or None, command_id=error.command_id
        )

    def invalid_lines(self, lines: Sequence[InvalidLine], *, total: int) -> None:
        """The lines of a file that were left out."""
        for line in lines[:LINES_SHOWN_MAX]:
            self.note(f"  line {line.number}: {line.rule}")
        if total > min(len(lines), LINES_SHOWN_MAX):
            self.note(f"  … and {total - min(len(lines), LINES_SHOWN_MAX):,} lines more")

    @contextmanager
    def progress(self, title: str, *, total: int | None) -> Iterator["Meter"]:
        """A bar on a terminal, else a plain line every few seconds; nothing where stdout is for a program."""
        if self.as_json or not self._err.is_terminal:
            yield Meter(None, title, self if not self.as_json else None)
            return
        columns = (BarColumn(bar_width=20), TextColumn("{task.description}"), TextColumn("{task.fields[detail]}"))
        with Progress(*columns, console=self._err) as bar:
            bar.add_task(title, total=total, detail="")
            yield Meter(bar, title, None)


class Meter:
    """Says how far an import has come."""

    def __init__(self, bar: Progress | None, title: str, screen: Screen | None) -> None:
        self._bar = bar
        self._title = title
        self._screen = screen
        self._said = monotonic()

    def show(self, done: int, detail: str) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, detail=detail)
        elif self._screen is not None and monotonic() - self._said >= PLAIN_LINE_SECONDS:
            self._said = monotonic()
            self._screen.note(f"{self._title}: {done:,} ({detail})")


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def is_terminal(stream: IO[Any] | None) -> bool:
    return stream is not None and stream.isatty()


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(type(value).__name__)
