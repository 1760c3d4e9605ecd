"""Reading the logs of a stack: the last lines, and what is added."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Final

from devstack.errors import StackError

POLL_SECONDS: Final = 0.2


def tail(folder: Path, name: str | None, *, lines: int, write: Callable[[str], None]) -> dict[Path, int]:
    """Write the last lines of each log; how far each file was read."""
    files = _files(folder, name)
    if not files:
        known = ", ".join(sorted(file.stem for file in _files(folder, None))) or "none yet"
        raise StackError(f"There is no log of {name!r}: there are {known}." if name else "There are no logs yet.")
    read = {}
    for file in files:
        with file.open("rb") as opened:
            for line in deque(opened, maxlen=lines):
                write(_shown(file, line, alone=len(files) == 1))
            read[file] = opened.tell()
    return read


def follow(folder: Path, name: str | None, read: dict[Path, int], *, write: Callable[[str], None]) -> None:
    """Write what is added, for ever; a log that was emptied by rotation is read from its start again."""
    while True:
        files = _files(folder, name)
        for file in files:
            position = read.get(file, 0)
            if file.stat().st_size < position:
                position = 0
            read[file] = _more(file, position, alone=len(files) == 1, write=write)
        sleep(POLL_SECONDS)


def _more(file: Path, position: int, *, alone: bool, write: Callable[[str], None]) -> int:
    with file.open("rb") as opened:
        opened.seek(position)
        for line in opened:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            write(_shown(file, line, alone=alone))
    return position


def _shown(file: Path, line: bytes, *, alone: bool) -> str:
    text = line.decode(errors="replace").rstrip("\n")
    return text if alone else f"{file.stem:<19}| {text}"


def _files(folder: Path, name: str | None) -> list[Path]:
    """Logs of that name; `sender` stands for all senders."""
    if name is None:
        return sorted(folder.glob("*.log"))
    exact = folder / f"{name}.log"
    return (
        [exact] if exact.is_file() and exact.parent == folder else sorted(folder.glob(f"{Path(name).name}-[0-9]*.log"))
    )
