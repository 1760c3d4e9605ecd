"""Which process is meant: a pid alone is handed out again, a pid with its start time is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Final

import psutil
from chassis.clock import monotonic

POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, recognisable after its pid was given to another one."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a living process; None for one that is gone or only waits to be reaped."""
        started = _started(pid)
        return cls(pid=pid, started=started) if started is not None else None

    def alive(self) -> bool:
        return _started(self.pid) == self.started

    def send(self, number: int) -> bool:
        """Send a signal, unless the process is gone."""
        if not self.alive():
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def wait(self, *, seconds_max: float) -> bool:
        """Wait until it is gone; False when it is still there."""
        deadline = monotonic() + seconds_max
        while self.alive():
            if monotonic() > deadline:
                return False
            sleep(POLL_SECONDS)
        return True


def _started(pid: int) -> str | None:
    """Start time in clock ticks since boot (Linux: not moved by setting the clock), else seconds since the epoch."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _started_elsewhere(pid) if not Path("/proc/self/stat").exists() else None
    state, ticks = fields[0], fields[19]
    return None if state in {"Z", "X"} else f"{_boot()}:{ticks}"


def _started_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def end(processes: Iterable[ProcessId], *, number: int = signal.SIGTERM, seconds_max: float) -> None:
    """Ask all of them to stop, then kill what is still there after `seconds_max`."""
    asked = [process for process in processes if process.send(number)]
    deadline = monotonic() + seconds_max
    for process in asked:
        if not process.wait(seconds_max=max(0.0, deadline - monotonic())):
            process.send(signal.SIGKILL)
            process.wait(seconds_max=5.0)


def working_in(folder: Path, *, name: str) -> list[ProcessId]:
    """The processes called `name` whose working directory is `folder`."""
    found: list[ProcessId] = []
    for process in psutil.process_iter(["pid", "name"]):
        with suppress(psutil.Error, OSError):
            if process.info["name"] == name and Path(process.cwd()) == folder:
                identity = ProcessId.of(process.info["pid"])
                found += [identity] if identity else []
    return found
