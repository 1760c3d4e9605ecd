"""The local stack as a program uses it: start, stop, addresses, processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep
from typing import Final

from chassis.clock import monotonic

from devstack import identity, jars, kafka, postgres, roles, state
from devstack.errors import StackError, naming
from devstack.identity import ProcessId
from devstack.layout import HOME, Layout, repository
from devstack.ports import LOOPBACK, Ports
from devstack.programs import (
    BROKERS,
    CONSOLE_HTTP,
    RECEIVE_HTTP,
    SENDERS_MAX,
    SINK_HTTP,
    SINK_SMTP,
    bootstrap,
    through,
    webhook_secret,
)
from devstack.progress import Progress, Silent
from devstack.state import ProcessInfo, State, Wanted
from devstack.supervisor import last_words

START_SECONDS_MAX: Final = 300.0
STOP_SECONDS_MAX: Final = 75.0
LEFTOVER_SECONDS_MAX: Final = 10.0
KILL_SECONDS_MAX: Final = 10.0
POLL_SECONDS: Final = 0.05
NO_SERVICES: Final = "The services are not running: start them with `sluice dev up`."


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything of a stack listens; `urls` and `migration_urls` have one entry per service."""

    kafka: list[str]
    postgres_admin_url: str
    urls: Mapping[str, str]
    migration_urls: Mapping[str, str]
    sink_http: str
    sink_smtp: str
    sink_file: Path
    receive_http: str
    console_http: str
    webhook_secret: str


class Stack:
    """Kafka, Postgres and, if asked for, the services and the sink of one checkout."""

    def __init__(self, root: Path, *, profile: str = "local") -> None:
        self.layout = Layout(root.resolve())
        self.profile = profile
        self._spawned: subprocess.Popen[bytes] | None = None
        self._tie: int | None = None

    @classmethod
    def at(cls, root: Path, *, profile: str = "local") -> Stack:
        """The stack whose files are in `root`/.devstack. Nothing is started or written."""
        return cls(root, profile=profile)

    def start(
        self,
        *,
        services: bool = True,
        prepare: bool | None = None,
        senders: int | None = None,
        env: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
        kafka_through: Sequence[int] | None = None,
        brokers: int | None = None,
        progress: Progress | None = None,
        attached: bool = False,
    ) -> Addresses:
        """Start what is not running and return when all of it is ready. Safe to call again.

        `prepare` migrates the schemas and makes the topics (default: where services are started); roles and the
        database are always made. `senders`: as many as there were before, at first one. `env` is added to the
        environment of every service. `kafka_through`: ports of proxies, each before a listener of Kafka's own (see
        the property of that name). `brokers`: one (the default), or three, which are one cluster; then the profile
        `production` gives each topic three replicas. A stack keeps its number until it is reset. `attached`: the
        stack ends when this process does. A start that fails or is interrupted leaves no process behind that it
        started.
        """
        if senders is not None and not 0 <= senders <= SENDERS_MAX:
            raise StackError(f"There can be 0 to {SENDERS_MAX} senders, not {senders}.")
        if brokers not in (None, 1, len(BROKERS)):
            raise StackError(f"There can be one broker or {len(BROKERS)}, not {brokers}.")
        told = progress or Silent()
        self.layout.prepare()
        with state.one_command(self.layout, say=told.say):
            before = Wanted.read(self.layout)
            if before.generation and brokers not in (None, before.brokers):
                raise StackError(f"This stack has {before.brokers} brokers and keeps them: reset it first.")
            running = state.supervisor(self.layout)
            wanted = Wanted(
                generation=before.generation + 1,
                services=services or (running is not None and before.services),
                prepare=services if prepare is None else prepare,
                senders=before.senders if senders is None else senders,
                profile=self.profile,
                env=dict(env or {}),
                without=list(without),
                kafka_through=before.kafka_through if kafka_through is None else list(kafka_through),
                brokers=before.brokers if brokers is None else brokers,
            )
            if wanted.brokers > 1 and wanted.kafka_through:
                raise StackError("A proxy can stand before one broker alone.")
            if running is not None:
                told.say("the stack is running already")
                self._change(wanted, before, running, told)
            else:
                self._start_supervisor(wanted, told, attached=attached)
            return self.addresses

    def _start_supervisor(self, wanted: Wanted, told: Progress, *, attached: bool) -> None:
        jars.ensure(told)
        repository(self.layout.root)
        kafka.java()
        postgres.programs()
        self._clear_leftovers()
        roles.passwords(self.layout)
        self.layout.state.unlink(missing_ok=True)
        wanted.write(self.layout)
        told.say("starting Kafka and Postgres")
        try:
            self._follow(wanted, self._spawn(attached=attached), told)
        except BaseException:
            if self._spawned is not None:
                with suppress(OSError):  # whoever listened may be gone: a closed terminal, a pipe
                    told.say("stopping what was started")
                self._end(ProcessId.of(self._spawned.pid))
            raise

    def _change(self, wanted: Wanted, before: Wanted, running: ProcessId, told: Progress) -> None:
        """Have the supervisor bring about something else; where that fails or is interrupted, what was before."""
        wanted.write(self.layout)
        try:
            self._follow(wanted, running, told)
        except BaseException:
            again = replace(before, generation=wanted.generation + 1, prepare=False)
            again.write(self.layout)
            with suppress(StackError, OSError):
                told.say("going back to what ran before")
                self._follow(again, running, Silent())
            raise

    def _spawn(self, *, attached: bool) -> ProcessId:
        argv = [sys.executable, "-m", "devstack.supervisor", str(self.layout.root)]
        theirs, ours = os.pipe() if attached else (None, None)
        with naming(self.layout.logs, doing="starting the supervisor"), self.layout.log("supervisor").open("ab") as log:
            self._spawned = subprocess.Popen(  # noqa: S603 - our own program and arguments
                argv if theirs is None else [*argv, "--owner", str(theirs)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=repository(self.layout.root),
                start_new_session=True,
                pass_fds=() if theirs is None else (theirs,),
            )
        if theirs is not None:
            os.close(theirs)
        self._tie = ours
        process = ProcessId.of(self._spawned.pid)
        if process is None:
            raise StackError(f"The supervisor ended at once: {last_words(self.layout.log('supervisor'))}")
        return process

    def _follow(self, wanted: Wanted, process: ProcessId, told: Progress) -> None:
        """Show what the supervisor says until it has brought about what is wanted, or has failed."""
        first = State.read(self.layout)
        shown = len(first.said) if first.supervisor == process and first.generation else 0
        deadline = monotonic() + START_SECONDS_MAX
        while True:
            alive = process.alive()
            now = State.read(self.layout)
            if now.supervisor == process:
                for line in now.said[shown:]:
                    told.say(line)
                shown = max(shown, len(now.said))
                if now.generation >= wanted.generation:
                    return
                if now.failed and now.failed_generation >= wanted.generation:
                    raise StackError(now.failed)
            if not alive:
                raise StackError(f"The supervisor ended: {last_words(self.layout.log('supervisor'))}")
            if monotonic() > deadline:
                raise StackError(f"The stack was not ready after {START_SECONDS_MAX:.0f} s: see {self.layout.logs}.")
            sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End everything, gracefully and then by force. Data stay."""
        if not self.layout.home.exists():
            return
        with state.one_command(self.layout):
            self._stop()

    def _stop(self) -> None:
        running = state.supervisor(self.layout)
        if running is not None:
            self._end(running)
        self._clear_leftovers()

    def _end(self, process: ProcessId | None) -> None:
        if process is not None:
            identity.end([process], seconds_max=STOP_SECONDS_MAX)
        if self._spawned is not None:
            self._spawned.wait()
            self._spawned = None
        if self._tie is not None:
            os.close(self._tie)
            self._tie = None
        self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """End what a supervisor that was killed has left: known by pid and start time, or by its data folder."""
        left = {one.id for one in State.read(self.layout).processes if one.id is not None}
        left |= set(identity.working_in(self.layout.kafka, name="java"))
        identity.end(left, seconds_max=LEFTOVER_SECONDS_MAX)
        postgres.clear_leftovers(self.layout)

    def reset(self) -> None:
        """Stop, and delete all data, logs, ports and passwords."""
        if self.layout.home.exists():
            with state.one_command(self.layout):
                self._stop()
        for folder in {self.layout.home, self.layout.postgres}:
            with naming(folder, doing="deleting the stack's data"):
                shutil.rmtree(folder, ignore_errors=not folder.exists())

    def running(self) -> bool:
        return state.supervisor(self.layout) is not None

    def processes(self) -> list[ProcessInfo]:
        """The supervisor and its processes as they are now; empty when nothing runs."""
        running = state.supervisor(self.layout)
        if running is None:
            return []
        said = State.read(self.layout)
        own = ProcessInfo(name="supervisor", state="ready", pid=running.pid, started=running.started, began=said.began)
        return [own, *said.processes]

    def kill(self, name: str, number: int = signal.SIGKILL) -> ProcessId:
        """Send a signal to one process by name; whom it hit. Returns after SIGKILL when that process is gone."""
        for process in self.processes():
            if process.name == name and process.id is not None and process.id.send(number):
                if number == signal.SIGKILL:
                    process.id.wait(seconds_max=KILL_SECONDS_MAX)
                return process.id
        raise StackError(f"{name} is not running: {', '.join(one.name for one in self.processes()) or 'nothing'} is.")

    def scale_senders(self, senders: int, *, progress: Progress | None = None) -> None:
        """Have this many senders, and return when they are ready (or gone)."""
        if not 0 <= senders <= SENDERS_MAX:
            raise StackError(f"There can be 0 to {SENDERS_MAX} senders, not {senders}.")
        if not self.running():
            raise StackError(NO_SERVICES)
        with state.one_command(self.layout):
            running, before = state.supervisor(self.layout), Wanted.read(self.layout)
            if running is None or not before.services:
                raise StackError(NO_SERVICES)
            wanted = replace(before, generation=before.generation + 1, prepare=False, senders=senders)
            self._change(wanted, before, running, progress or Silent())

    @property
    def addresses(self) -> Addresses:
        ports = Ports(self.layout)
        port = ports["postgres"]
        return Addresses(
            kafka=bootstrap(self.layout),
            postgres_admin_url=roles.url(self.layout, postgres.ADMIN, port=port),
            urls={one: roles.url(self.layout, f"{one}_app", port=port) for one in roles.SERVICES},
            migration_urls={one: roles.url(self.layout, f"{one}_owner", port=port) for one in roles.SERVICES},
            sink_http=f"http://{LOOPBACK}:{ports[SINK_HTTP]}",
            sink_smtp=f"{LOOPBACK}:{ports[SINK_SMTP]}",
            sink_file=self.layout.sink_file,
            receive_http=f"http://{LOOPBACK}:{ports[RECEIVE_HTTP]}",
            console_http=f"http://{LOOPBACK}:{ports[CONSOLE_HTTP]}",
            webhook_secret=webhook_secret(self.layout),
        )

    @property
    def kafka_through(self) -> list[int]:
        """For each proxy that was asked for, the port of Kafka's that it leads to."""
        return through(Ports(self.layout), Wanted.read(self.layout))

    def kafka_tool(
        self, name: str, *arguments: str, stdin: str | None = None, seconds_max: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Kafka's own console tools against this stack and return what it wrote."""
        return subprocess.run(  # noqa: S603 - a program of Kafka's, chosen by the caller
            self.kafka_tool_command(name, *arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds_max,
        )

    def kafka_tool_command(self, name: str, *arguments: str) -> Sequence[str]:
        kafka.tool_class(name)
        if not self.running():
            raise StackError("Kafka is not running: start it with `sluice dev up`.")
        files = [jars.cache() / jar.name for jar in jars.pinned()]
        return [*kafka.tool(self.layout, files, name, bootstrap=self.addresses.kafka[0]), *arguments]


__all__ = ["HOME", "Addresses", "ProcessInfo", "Stack", "StackError"]
