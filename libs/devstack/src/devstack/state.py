"""What was asked of the supervisor and what it says back: two small files, each replaced at once."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import sleep
from typing import Any, Final

from chassis.clock import monotonic

from devstack.errors import StackError, naming
from devstack.identity import ProcessId
from devstack.layout import Layout, read_json, write_private

SETTLE_SECONDS_MAX: Final = 15.0
COMMAND_SECONDS_MAX: Final = 300.0
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Wanted:
    """The state that the supervisor shall bring about; a higher generation replaces a lower one."""

    generation: int = 0
    services: bool = False
    prepare: bool = False
    senders: int = 1
    profile: str = "local"
    env: Mapping[str, str] = field(default_factory=dict)
    without: Sequence[str] = ()
    """Services that are left out, by name."""
    kafka_through: Sequence[int] | None = None
    """Ports of proxies; for each, Kafka has a listener that sends its clients there."""
    brokers: int = 1

    @classmethod
    def read(cls, layout: Layout) -> Wanted:
        known = {one.name for one in fields(cls)}  # the file may be another version's
        return cls(**{name: value for name, value in read_json(layout.wanted).items() if name in known})

    def write(self, layout: Layout) -> None:
        write_private(layout.wanted, json.dumps(asdict(self)))


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One supervised process. `state`: starting, ready, waiting (to be started again), stopping or stopped.

    `began` is when it was started, on the machine's monotonic clock.
    """

    name: str
    state: str
    pid: int | None = None
    started: str = ""
    port: int | None = None
    restarts: int = 0
    began: float = 0.0
    fault: str | None = None

    @property
    def id(self) -> ProcessId | None:
        return ProcessId(pid=self.pid, started=self.started) if self.pid else None


@dataclass(frozen=True, slots=True)
class State:
    """What the supervisor last said and did."""

    supervisor: ProcessId | None = None
    generation: int = 0
    failed_generation: int = 0
    failed: str | None = None
    said: tuple[str, ...] = ()
    began: float = 0.0
    processes: tuple[ProcessInfo, ...] = ()

    @classmethod
    def read(cls, layout: Layout) -> State:
        found: dict[str, Any] = read_json(layout.state)
        if not found:
            return cls()
        owner = found.pop("supervisor")
        processes = tuple(ProcessInfo(**one) for one in found.pop("processes"))
        said = tuple(found.pop("said"))
        return cls(supervisor=ProcessId(**owner) if owner else None, processes=processes, said=said, **found)

    def write(self, layout: Layout) -> None:
        write_private(layout.state, json.dumps(asdict(self), indent=1))


def supervisor(layout: Layout) -> ProcessId | None:
    """The living supervisor of this stack, if there is one."""
    deadline = monotonic() + SETTLE_SECONDS_MAX
    while _held(layout.supervisor_lock):
        process = State.read(layout).supervisor
        if process is not None and process.alive():
            return process
        if monotonic() > deadline:
            raise StackError(
                f"Something holds {layout.supervisor_lock} without saying who it is: end that program and try again."
            )
        sleep(POLL_SECONDS)
    return None


def _held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def one_command(layout: Layout, *, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Commands on one stack take turns."""
    with naming(layout.home, doing="taking the stack's lock"), layout.command_lock.open("a") as lock:
        deadline, said = monotonic() + COMMAND_SECONDS_MAX, False
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if not said:
                say("waiting for another `sluice dev` command on this stack")
                said = True
            if monotonic() > deadline:
                raise StackError("Another `sluice dev` command on this stack does not end: stop it and try again.")
            sleep(POLL_SECONDS)
        yield
