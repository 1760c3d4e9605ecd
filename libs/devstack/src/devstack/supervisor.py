"""The process that starts a stack's programs, starts them again when they end, and ends them all with itself.

`python -m devstack.supervisor <root>`. It follows `wanted.json` and says what it did in `state.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Final, TextIO

from chassis.clock import monotonic

from devstack import roles
from devstack.errors import StackError
from devstack.identity import ProcessId
from devstack.layout import Layout
from devstack.ports import Ports
from devstack.preparation import migrate, provision, together
from devstack.program import Child, Program
from devstack.programs import BROKERS, STACK, Programs, port_names, schema_file, topics_file
from devstack.state import ProcessInfo, State, Wanted

TICK_SECONDS: Final = 0.1
ROTATE_EVERY_SECONDS: Final = 5.0
LOG_BYTES_MAX: Final = 20 * 1024 * 1024
STARTS_MAX: Final = 3
READY_SECONDS_MAX: Final = 180.0
SAID_MAX: Final = 200
LOCK_SECONDS_MAX: Final = 10.0
LAST_BUT_STACK: Final = ("sink",)

log = logging.getLogger("devstack.supervisor")


class Supervisor:
    """One per stack; `run` returns when all of its programs are gone."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._ports = Ports(layout)
        self._programs = Programs(layout, self._ports)
        self._children: dict[str, Child] = {}
        self._stop = asyncio.Event()
        self._said: deque[str] = deque(maxlen=SAID_MAX)
        self._state = State(supervisor=ProcessId.of(os.getpid()), began=monotonic())

    def ask_to_stop(self) -> None:
        self._stop.set()

    async def run(self) -> int:
        """Follow what is wanted until asked to stop; 1 where the stack never came up."""
        self._publish()
        work = asyncio.create_task(self._follow())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        failed = work.done() and work.exception()
        if failed:
            log.error("the supervisor ends: %s", failed, exc_info=failed)
            sentence = str(failed) if isinstance(failed, StackError) else f"The supervisor failed: {failed!r}"
            self._state = replace(self._state, failed=sentence, failed_generation=Wanted.read(self._layout).generation)
        for task in (work, stopping):
            task.cancel()
        await asyncio.wait([work, stopping])
        await self._take_down()
        return 1 if failed else 0

    async def _follow(self) -> None:
        seen, rotated = 0, monotonic()
        while self._layout.home.exists():
            wanted = Wanted.read(self._layout)
            if wanted.generation > seen:
                await self._bring_about(wanted)
                seen = wanted.generation
            if monotonic() - rotated > ROTATE_EVERY_SECONDS:
                rotated = monotonic()
                await asyncio.to_thread(rotate, self._layout.logs)
            await asyncio.sleep(TICK_SECONDS)

    async def _bring_about(self, wanted: Wanted) -> None:
        """Make it so. The first time a failure ends the supervisor; later it is told, and what runs goes on."""
        try:
            await self._start(wanted)
        except StackError as error:
            if self._replaced(wanted):
                return
            if self._state.generation == 0:
                raise
            self._state = replace(self._state, failed=str(error), failed_generation=wanted.generation)
        else:
            self._state = replace(self._state, failed=None, generation=wanted.generation)
        self._publish()

    async def _start(self, wanted: Wanted) -> None:
        self._ports.settle(port_names(wanted, running=self._children), say=self._say)
        await self._keep(self._programs.stack(wanted))
        await together((self._database(wanted), self._topics(wanted)))
        services = self._programs.services(wanted)
        kept = {*STACK, *(program.name for program in services)}
        await asyncio.gather(*(self._drop(name) for name in list(self._children) if name not in kept))
        await self._keep(services)
        await together(self._until_ready(program.name, wanted) for program in services)

    def _replaced(self, wanted: Wanted) -> bool:
        return Wanted.read(self._layout).generation > wanted.generation

    async def _database(self, wanted: Wanted) -> None:
        await self._until_ready("postgres", wanted)
        await roles.apply(self._layout, port=self._ports["postgres"], sql=schema_file(self._layout.root))
        if wanted.prepare:
            self._say(await migrate(self._programs, wanted.env))

    async def _topics(self, wanted: Wanted) -> None:
        await together(self._until_ready(name, wanted) for name in BROKERS[: wanted.brokers])
        if wanted.prepare:
            file = topics_file(self._layout.root)
            self._say(await provision(self._programs, file, profile=wanted.profile))

    async def _keep(self, programs: Iterable[Program]) -> None:
        """Run each of them; one that is not as it should be now, or waits after having failed, begins anew."""
        for program in programs:
            child = self._children.get(program.name)
            if child is not None and (child.program != program or child.state == "waiting"):
                await self._drop(program.name)
            if program.name not in self._children:
                child = Child(program, changed=self._publish)
                self._children[program.name] = child
                child.start()

    async def _drop(self, name: str) -> None:
        await self._children[name].stop()
        del self._children[name]
        self._say(f"{name} stopped")

    async def _until_ready(self, name: str, wanted: Wanted) -> None:
        child, deadline = self._children[name], monotonic() + READY_SECONDS_MAX
        if child.state == "ready":
            return
        starts = child.restarts + STARTS_MAX
        while child.state != "ready":
            if child.restarts >= starts or monotonic() > deadline:
                fault = child.fault or f"not ready after {READY_SECONDS_MAX:.0f} s"
                raise StackError(f"{name} does not start ({fault}): {last_words(child.program.log)}")
            if self._replaced(wanted):
                raise StackError("Something else is wanted by now.")
            await asyncio.sleep(TICK_SECONDS / 2)
        where = f" on port {child.program.port}" if child.program.port else ""
        self._say(f"{name} ready{where}")

    async def _take_down(self) -> None:
        """In reverse: the services, then the sink, then Kafka and Postgres."""
        services = [name for name in self._children if name not in (*STACK, *LAST_BUT_STACK)]
        for names in (services, LAST_BUT_STACK, STACK):
            await _all(self._children[name].stop() for name in names if name in self._children)
        self._publish()

    def _say(self, line: str) -> None:
        self._said.append(line)
        self._publish()

    def _publish(self) -> None:
        self._state = replace(
            self._state,
            said=tuple(self._said),
            processes=tuple(_info(child) for child in self._children.values()),
        )
        if self._layout.home.exists():
            with suppress(StackError, FileNotFoundError):
                self._state.write(self._layout)


async def _all(stops: Iterable[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*stops)


def _info(child: Child) -> ProcessInfo:
    return ProcessInfo(
        name=child.program.name,
        state=child.state,
        pid=child.process.pid if child.process else None,
        started=child.process.started if child.process else "",
        port=child.program.port,
        restarts=child.restarts,
        began=child.began,
        fault=child.fault,
    )


def last_words(file: Path) -> str:
    """Where to read more, and the last line that the program wrote."""
    with suppress(OSError):
        lines = file.read_text(errors="replace").strip().splitlines()
        if any("No space left on device" in line for line in lines[-50:]):
            return f"the disk is full, free some space and try again (see {file})."
        if lines:
            return f"it last said {lines[-1][:200]!r} (see {file})."
    return f"see {file}."


def rotate(folder: Path) -> None:
    """Keep one older part of each log. Programs append, so the file is copied and emptied, never renamed."""
    for file in folder.glob("*.log"):
        if file.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(file, file.with_suffix(".log.1"))
            os.truncate(file, 0)


def _lock(layout: Layout) -> TextIO:
    """Held for as long as this process lives; a second supervisor of the same stack is refused."""
    file = layout.supervisor_lock.open("a")
    deadline = monotonic() + LOCK_SECONDS_MAX
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                raise StackError("Another supervisor of this stack is running.") from None
            sleep(TICK_SECONDS)
        else:
            return file


async def supervise(layout: Layout, *, owner: int | None) -> int:
    """Run until a signal asks to stop, or until the other end of the pipe `owner` is closed."""
    supervisor = Supervisor(layout)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.ask_to_stop)
    if owner is not None:
        loop.add_reader(owner, _closed, owner, supervisor)
    return await supervisor.run()


def _closed(owner: int, supervisor: Supervisor) -> None:
    asyncio.get_running_loop().remove_reader(owner)
    supervisor.ask_to_stop()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--owner", type=int)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    layout = Layout(given.root)
    with _lock(layout):
        return asyncio.run(supervise(layout, owner=given.owner))


if __name__ == "__main__":
    sys.exit(main())
