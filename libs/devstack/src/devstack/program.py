"""One supervised program: started, watched until it is ready, started again when it ends, stopped for good."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chassis.clock import monotonic

from devstack.errors import StackError
from devstack.identity import ProcessId

READY_POLL_SECONDS: Final = 0.1
ALIVE_POLL_SECONDS: Final = 3.0
STALLED_POLLS_MAX: Final = 5
BACKOFF_SECONDS: Final = 0.25
BACKOFF_SECONDS_MAX: Final = 10.0
STEADY_SECONDS: Final = 20.0
KILL_SECONDS_MAX: Final = 5.0
PR_SET_PDEATHSIG: Final = 1

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


async def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to tell that it works.

    `death_signal` is what the kernel sends it when its supervisor dies (Linux); `before` runs ahead of every
    start, in a thread; `alive` is asked once the program was ready: five refusals in a row and it is killed.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    port: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    account: pwd.struct_passwd | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    stop_seconds_max: float = 25.0
    before: Callable[[], None] = field(default=lambda: None, compare=False)
    ready: Callable[[], Awaitable[bool]] = field(default=_always, compare=False)
    alive: Callable[[], Awaitable[bool]] = field(default=_always, compare=False)


class Child:
    """The life of one program under this supervisor."""

    def __init__(self, program: Program, *, changed: Callable[[], None]) -> None:
        self.program = program
        self.state = "starting"
        self.process: ProcessId | None = None
        self.restarts = 0
        self.began = monotonic()
        self.fault: str | None = None
        self._changed = changed
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=self.program.name)

    async def stop(self) -> None:
        """End it: its own signal first, SIGKILL after `stop_seconds_max`. Returns when it is gone."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        delay = BACKOFF_SECONDS
        while not self._stopping.is_set():
            began = monotonic()
            try:
                await asyncio.to_thread(self.program.before)
                if not self._stopping.is_set():
                    await self._once()
            except (StackError, OSError, subprocess.SubprocessError) as error:
                self.fault = str(error)
            if self._stopping.is_set():
                break
            delay = BACKOFF_SECONDS if monotonic() - began > STEADY_SECONDS else delay
            self.restarts += 1
            self._enter("waiting")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(delay * 2, BACKOFF_SECONDS_MAX)
        self._enter("stopped")

    async def _once(self) -> None:
        """Run it one time, from start to end."""
        process = await spawn(self.program)
        self.process = ProcessId.of(process.pid)
        self.began = monotonic()
        self._enter("starting")
        watch = asyncio.create_task(self._watch(process.pid))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._enter("stopping")
                await self._end(process, ended)
            self.fault = f"{self.program.name} ended with {_outcome(ended.result())}"
        finally:
            for task in (watch, stopping):
                task.cancel()
            _signal_group(process.pid, signal.SIGKILL)
            self.process = None

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
        await asyncio.wait([ended], timeout=self.program.stop_seconds_max)
        if not ended.done():
            _signal_group(process.pid, signal.SIGKILL)
            await asyncio.wait([ended], timeout=KILL_SECONDS_MAX)

    async def _watch(self, pid: int) -> None:
        """Note when it becomes ready; afterwards kill it when it does not live up to it any more."""
        while not await self.program.ready():  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(READY_POLL_SECONDS)
        self._enter("ready")
        refused = 0
        while refused < STALLED_POLLS_MAX:
            await asyncio.sleep(ALIVE_POLL_SECONDS)
            refused = 0 if await self.program.alive() else refused + 1
        _signal_group(pid, signal.SIGKILL)

    def _enter(self, state: str) -> None:
        self.state = state
        self._changed()


async def spawn(program: Program) -> asyncio.subprocess.Process:
    """Start it, its output behind what its log holds already; where the system can, it dies with this process."""
    with program.log.open("ab", buffering=0) as log:
        return await asyncio.create_subprocess_exec(
            *program.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=program.cwd,
            env=dict(program.env) or None,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid(), program.death_signal),
            **_user(program.account),
        )


def _user(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _die_with(parent: int, number: signal.Signals) -> Callable[[], None]:
    """Run in the child before its program: have the kernel signal it when the supervisor dies."""

    def ask() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _outcome(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
