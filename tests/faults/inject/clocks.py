"""The wall clock of a process, as far ahead as the file `clock` says (JSON, seconds by role). Monotonic ones go on."""

import time
from datetime import UTC, datetime
from typing import Final

import chassis.clock
import orjson

from tests.faults.inject import FOLDER

READ_EVERY_SECONDS: Final = 0.05
READ: Final = "clock-read-"
"""With what the files begin that say which roles have read a wrong clock."""

_time, _time_ns, _monotonic = time.time, time.time_ns, time.monotonic  # noqa: TID251 - what is replaced here


class Ahead:
    """How far, as it was read lately."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._seconds = 0.0
        self._read_at = 0.0

    def __call__(self) -> float:
        now = _monotonic()
        if now - self._read_at > READ_EVERY_SECONDS:
            self._read_at = now
            try:
                self._seconds = float(orjson.loads((FOLDER / "clock").read_bytes()).get(self._role, 0.0))
            except (OSError, ValueError):
                self._seconds = 0.0
            if self._seconds:
                (FOLDER / f"{READ}{self._role}").touch()
        return self._seconds


def install(role: str) -> None:
    """Replace the clocks that Python code reads: ours, and those of the libraries."""
    ahead = Ahead(role)
    time.time = lambda: _time() + ahead()  # noqa: TID251
    time.time_ns = lambda: _time_ns() + int(ahead() * 1e9)  # noqa: TID251
    chassis.clock.utc_now = lambda: datetime.fromtimestamp(_time() + ahead(), UTC)
