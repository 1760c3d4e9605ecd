"""Progress for a person: lines with times, and one line that redraws itself where there is a terminal."""

from __future__ import annotations

import sys
from typing import Final, TextIO

from chassis.clock import monotonic

STEPS: Final = 4


class Progress:
    """Lines with the seconds since the start. A subclass may show them elsewhere."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._began = monotonic()
        self._drawn = ""
        self._quarter = 0

    def say(self, line: str) -> None:
        if self._drawn:
            self._out.write("\r\x1b[K")
            self._drawn = ""
        self._out.write(f"{monotonic() - self._began:6.1f} s  {line}\n")
        self._out.flush()

    def part(self, what: str, *, done: int, total: int) -> None:
        """How much of a download is there, in bytes: redrawn on a terminal, a line per quarter elsewhere."""
        line = f"{what} {done / 2**20:.0f} of {total / 2**20:.0f} MB"
        if self._out.isatty():
            if line != self._drawn:
                self._out.write(f"\r\x1b[K{monotonic() - self._began:6.1f} s  {line}")
                self._out.flush()
                self._drawn = line
        elif done * STEPS // total > self._quarter:
            self._quarter = done * STEPS // total
            self.say(line)


class Silent(Progress):
    """For programs that start a stack and have no terminal."""

    def say(self, line: str) -> None:
        pass

    def part(self, what: str, *, done: int, total: int) -> None:
        pass


class Recorded(Silent):
    """Keeps the lines, for a program that wants to read them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
