"""The null channel writes each call down: whose, the time before its last look, and the time of its first byte."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from chassis.clock import utc_now

FOLDER: Final = "SLUICE_BENCH_CALLS"


class Call(NamedTuple):
    """In seconds of the machine's clock, which the database reads too."""

    pid: int
    contact_id: str
    looked: float
    left: float


def install() -> None:
    """Into the file of this process; what the system has taken outlives it."""
    from delivery.channels.base import Outgoing, Result
    from delivery.channels.null import NullChannel

    out = os.open(Path(os.environ[FOLDER]) / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def send(self: NullChannel, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        looked = utc_now()
        before_first_byte()
        left = utc_now()
        os.write(out, f"{message.contact_id} {looked.timestamp():.6f} {left.timestamp():.6f}\n".encode())
        return Result.sent()

    NullChannel.send = send  # type: ignore[method-assign]


class Log:
    """What all processes have written since it was last read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}

    def read(self) -> list[Call]:
        """The calls that are new; a line that is being written comes next time."""
        found = []
        for file in self._folder.iterdir():
            with file.open("rb") as lines:
                lines.seek(self._read.get(file.name, 0))
                whole, newline, _ = lines.read().rpartition(b"\n")
            self._read[file.name] = self._read.get(file.name, 0) + len(whole) + len(newline)
            for line in whole.decode().splitlines():
                contact_id, looked, left = line.split(" ")
                found.append(Call(int(file.name), contact_id, float(looked), float(left)))
        return found
