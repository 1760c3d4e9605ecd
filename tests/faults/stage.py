"""One running stack for all scenes: proxies before Kafka, Postgres and the sink, and hands to break each part."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import aiohttp
import asyncpg
import orjson
from chassis.clock import monotonic, sleep, utc_now
from devstack.identity import ProcessId
from devstack.ports import Ports
from devstack.stack import Stack, StackError
from messaging import topics as provisioning
from testkit import breaking, put_back
from testkit.checker.history import PutBack, Span
from testkit.database import sluice_url
from testkit.proxy import Network

from tests.faults.inject import clocks, plants, points

ROOT: Final = Path(__file__).parents[2]
INJECT: Final = Path(__file__).parent / "inject"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SENDERS: Final = 2
SERVICES: Final = ("sequences", "enrollment", "delivery-plan", "sender-1", "sender-2", "console")
READERS: Final = ("sequences", "enrollment", "delivery-plan")
UNUSED: Final = ("delivery-receive",)
"""No provider reports anything here."""
SETTINGS: Final = {
    **breaking.SETTINGS,
    "SLUICE_BREAKER_REST_SECONDS": "2",
    "SLUICE_BREAKER_REST_SECONDS_MAX": "3",
    "SLUICE_SINK_KEEP_BODIES": "true",
}
"""A scene waits for leases, rests and policies: all of them shorter than in production."""
KEPT: Final = {"cleanup.policy": "delete", "retention.ms": "86400000", "segment.ms": "604800000"}
"""Every record is needed at the end; the scenes of erasure have topics forget when they are through."""
READY_SECONDS_MAX: Final = 180.0
SMALL_DISK_MEGABYTES: Final = 1_024
STRUCK_SECONDS_MAX: Final = 20.0
ROLES: Final = {
    "sequences": "sequences-run",
    "enrollment": "enrollment-run",
    "delivery-plan": "delivery-plan",
    "delivery-send": "delivery-send",
    "console": "console-run",
}
"""What runs as what; all senders are one role."""
KAFKA: Final = tuple(f"kafka-{one}" for one in ROLES if one != "delivery-send")
"""The links of each role to Kafka. A sender has none: what it must hear stands in Postgres."""
POSTGRES: Final = tuple(f"postgres-{one}" for one in ROLES)
SINKS: Final = ("sink-http", "sink-smtp")
LINKS: Final = (*KAFKA, *POSTGRES, *SINKS)


class Struck(NamedTuple):
    """A process that came to a point."""

    pid: int
    point: str
    message_id: str | None
    """What it was about to send, of `before-first-byte`."""
    since: datetime
    """When that was noticed."""


@dataclass
class Stage:
    """What scenes break. `frozen`, `deaf`, `held` and `put_backs` are what the checker must know of it."""

    stack: Stack
    network: Network
    conn: Connection
    folder: Path
    sink_http: str
    """Through its proxy: what definitions name."""
    frozen: list[Span] = field(default_factory=list)
    deaf: list[Span] = field(default_factory=list)
    held: list[Span] = field(default_factory=list)
    put_backs: list[PutBack] = field(default_factory=list)
    links: tuple[str, ...] = LINKS
    planted: str | None = None
    told: list[str] = field(default_factory=list)
    """What was done, for the report."""
    runs: Counter[str] = field(default_factory=Counter)
    """How many there were of each scene and seed."""

    # -- processes

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """A signal. StackError where the process is not there: then a scene shows nothing."""
        self.stack.kill(name, number)
        self.told.append(f"{signal.Signals(number).name} {name}")

    async def kill_when_there(self, name: str, number: int = signal.SIGKILL) -> None:
        """A signal, as soon as the process is there (again)."""
        deadline = monotonic() + READY_SECONDS_MAX
        while True:
            try:
                self.kill(name, number)
                return
            except StackError:
                if monotonic() > deadline:
                    raise
            await sleep(0.1)

    async def freeze(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        process = await asyncio.to_thread(self.stack.kill, name, signal.SIGSTOP)
        since = utc_now()
        await sleep(seconds)
        self._thaw(name, process, since)

    @asynccontextmanager
    async def unwatched(self) -> AsyncIterator[None]:
        """Nobody kills who does not answer about its health meanwhile: the supervisor stands still as well."""
        supervisor = await asyncio.to_thread(self.stack.kill, "supervisor", signal.SIGSTOP)
        try:
            yield
        finally:
            supervisor.send(signal.SIGCONT)

    async def thaw(self, name: str, struck: Struck, *, seconds: float = 0.0) -> None:
        """Let a process that a point has frozen go on, once it has stood still for so long at the least.

        StackError where it is gone: its supervisor kills who does not answer about its health for long.
        """
        await sleep(seconds - (utc_now() - struck.since).total_seconds())
        process = ProcessId.of(struck.pid)
        if process is None:
            raise StackError(f"{name} was killed before it could go on")
        self._thaw(name, process, struck.since, struck)

    def _thaw(self, name: str, process: ProcessId, since: datetime, struck: Struck | None = None) -> None:
        point, message_id = (struck.point, struck.message_id) if struck is not None else (None, None)
        self.frozen.append(Span(name, since, utc_now(), point, message_id))
        process.send(signal.SIGCONT)
        self.told.append(f"froze {name} for {(utc_now() - since).total_seconds():.1f} s")

    def point(self, point: str, role: str, *, do: str = "kill", skip: int = 0, key: str = "") -> None:
        """Have the first process of a role that comes to a point be killed (or frozen) there, once.

        `key`: of `before-relay`, only with a state of it in hand.
        """
        assert point in points.POINTS, point
        (self.folder / "struck").unlink(missing_ok=True)
        self._put("point", {"point": point, "role": role, "do": do, "skip": skip, "key": key})

    async def struck(self, *, seconds_max: float = STRUCK_SECONDS_MAX) -> Struck:
        """Wait until that has happened. TimeoutError where nothing came there: then a scene shows nothing."""
        deadline = monotonic() + seconds_max
        while not (self.folder / "struck").exists():
            if monotonic() > deadline:
                (self.folder / "point").unlink(missing_ok=True)
                raise TimeoutError(f"nothing came to the point within {seconds_max:.0f} s")
            await sleep(0.05)
        found = orjson.loads((self.folder / "struck").read_bytes())
        self.told.append(f"{found['point']} in {found['role']}")
        (self.folder / "struck").unlink(missing_ok=True)
        return Struck(found["pid"], found["point"], found["message_id"], utc_now())

    async def plant(self, name: str | None) -> None:
        """Start the processes that a plant is for anew, with it (None: without any)."""
        (self.folder / "plant").unlink(missing_ok=True)
        if name is not None:
            (self.folder / "plant").write_text(name)
        changed = name or self.planted
        self.planted = name
        if changed is not None:
            roles, _ = plants.PLANTS[changed]
            await self.restart(*(one for one in SERVICES if _role(one) in roles), number=signal.SIGKILL)

    async def restart(self, *names: str, number: int = signal.SIGTERM) -> None:
        """Stop them, and wait until they are back."""
        before = {one.name: one.pid for one in self.stack.processes()}
        for name in names:
            await self.kill_when_there(name, number)
        await self.ready(*names, but=before)

    async def ready(
        self, *names: str, but: Mapping[str, int | None] | None = None, seconds_max: float = READY_SECONDS_MAX
    ) -> None:
        """Wait until these (default: all) are ready, with other pids than those of before."""
        deadline = monotonic() + seconds_max
        while True:
            found = {one.name: one for one in await asyncio.to_thread(self.stack.processes)}
            wanted = names or [one for one in found if one != "supervisor"]
            left = [
                name
                for name in wanted
                if name not in found or found[name].state != "ready" or (but or {}).get(name, -1) == found[name].pid
            ]
            if not left:
                return
            if monotonic() > deadline:
                raise StackError(f"not ready again after {seconds_max:.0f} s: {', '.join(left)}")
            await sleep(0.1)

    # -- databases

    async def put_back(self, service: str, *, seconds: float) -> None:
        """Lose what a service's database has taken in for so long; returns when its processes are ready again."""
        admin_url = sluice_url(self.stack.addresses.postgres_admin_url)
        taken_at = utc_now()
        await put_back.take(admin_url, service)
        try:
            await sleep(seconds)
            before = {one.name: one.pid for one in self.stack.processes()}
            since = await put_back.put_back(self.stack, service)
            until = utc_now()
        finally:
            await self.conn.execute(f"drop schema if exists {service}_copy cascade")
        self.told.append(f"put {service} back by {(until - taken_at).total_seconds():.1f} s")
        await self.ready(*(name for name in before if _service(name) == service), but=before)
        noticed = f"select found_at, opened_at from {service}.put_back where found_at > $1 order by found_at"
        found_at, opened_at = await self.conn.fetchrow(noticed, until) or (None, None)
        if opened_at is not None:
            self.told.append(f"open again after {(opened_at - until).total_seconds():.1f} s")
        self.put_backs.append(PutBack(service, taken_at, since, until, found_at, opened_at))

    async def sessions(self) -> int:
        """How many the services have with Postgres."""
        found: int = await self.conn.fetchval(
            "select count(*) from pg_stat_activity where application_name = any($1)", breaking.APPLICATIONS
        )
        return found

    async def end_sessions(self, *services: str) -> int:
        """End all that these services (default: all) have; how many there were."""
        return await breaking.end_sessions(self.conn, services or breaking.APPLICATIONS)

    # -- clocks, sinks, the network

    def clocks(self, seconds: Mapping[str, float]) -> None:
        """Set the wall clocks of roles ahead (or back)."""
        self._put("clock", dict(seconds))

    def misled(self) -> set[str]:
        """The roles that have read a wrong clock since the stage was last healed."""
        return {file.name.removeprefix(clocks.READ) for file in self.folder.glob(f"{clocks.READ}*")}

    async def sink(self, channel: str, mode: str, **more: Any) -> None:
        """A rule for what the sink does from now on."""
        rule = {"channel": channel, "mode": mode, **more}
        where = f"{self.stack.addresses.sink_http}/_sink/behaviour"
        async with aiohttp.ClientSession() as session, session.post(where, json=rule) as answer:
            assert answer.status == 200, await answer.text()

    async def heal(self, *, seconds_max: float = READY_SECONDS_MAX) -> None:
        """All faults off, and every process there."""
        for file in (self.folder / "point", self.folder / "clock", *self.folder.glob(f"{clocks.READ}*")):
            file.unlink(missing_ok=True)
        for link in self.links:
            await self.network.set(link, "pass")
        for process in self.stack.processes():
            if process.id is not None and process.name != "supervisor":
                process.id.send(signal.SIGCONT)
        await self.ready(seconds_max=seconds_max)
        where = f"{self.stack.addresses.sink_http}/_sink/behaviour"
        async with aiohttp.ClientSession() as session, session.delete(where) as answer:
            assert answer.status == 200
        await self.reconnect()

    async def reconnect(self) -> None:
        """The database may have been away."""
        deadline = monotonic() + READY_SECONDS_MAX
        while True:
            try:
                await self.conn.fetchval("select 1")
                return
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                if monotonic() > deadline:
                    raise
            await sleep(0.1)
            with suppress(asyncpg.PostgresError, OSError):
                self.conn = await asyncpg.connect(sluice_url(self.stack.addresses.postgres_admin_url))

    @asynccontextmanager
    async def silence(self, what: str) -> AsyncIterator[None]:
        """While this lasts no stop can be heard: sending must cease."""
        since = utc_now()
        yield
        self.deaf.append(Span(what, since, utc_now()))

    def prefix(self, what: str) -> str:
        """With what all names of a run begin; of the same scene and seed the same, so that keys are where they were."""
        self.runs[what] += 1
        return "f" + hashlib.sha256(f"{what}:{self.runs[what]}".encode()).hexdigest()[:8]

    def forget(self) -> None:
        """Of the scene before."""
        self.frozen.clear()
        self.deaf.clear()
        self.held.clear()
        self.put_backs.clear()
        self.told.clear()

    def _put(self, name: str, value: Mapping[str, Any]) -> None:
        partial = self.folder / f".{name}"
        partial.write_bytes(orjson.dumps(value))
        partial.replace(self.folder / name)


def _service(process: str) -> str:
    return "delivery" if process.startswith(("delivery", "sender")) else process


def _role(process: str) -> str:
    return ROLES["delivery-send" if process.startswith("sender") else process]


@asynccontextmanager
async def staged(
    say: Callable[[str], None] = lambda _: None, *, small_disk: bool = False, brokers: int = 1
) -> AsyncIterator[Stage]:
    """The stack behind its proxies; all is gone at the end.

    `small_disk`: Postgres has one that can be filled. `brokers`: where there are three, no proxy stands before Kafka.
    """
    root = Path(tempfile.mkdtemp(prefix="sluice-faults-"))
    folder = root / "injected"
    folder.mkdir()
    stack = Stack.at(root, profile="local" if brokers == 1 else "production")
    links = LINKS if brokers == 1 else (*POSTGRES, *SINKS)
    network: Network | None = None
    conn: Connection | None = None
    mounted = False
    try:
        if small_disk:
            _mount(stack.layout.postgres)
            mounted = True
        stack.layout.prepare()
        ports = {link: Ports(stack.layout)[f"through-{link}"] for link in links}
        say("starting Kafka and Postgres")
        through = [ports[link] for link in KAFKA if link in ports]
        await asyncio.to_thread(
            stack.start, services=False, prepare=False, attached=True, kafka_through=through, brokers=brokers
        )
        at = stack.addresses
        targets = _targets(stack)
        network = await Network.start({link: (ports[link], targets[link]) for link in links})
        conn = await asyncpg.connect(sluice_url(at.postgres_admin_url))
        say("starting the services")
        env = SETTINGS | {
            "PYTHONPATH": os.pathsep.join([str(INJECT), str(ROOT)]),
            "SLUICE_FAULTS": str(folder),
            "SLUICE_FAULTS_WAYS": orjson.dumps(_ways(stack, ports)).decode(),
        }
        await asyncio.to_thread(stack.start, services=True, senders=SENDERS, env=env, without=UNUSED, attached=True)
        await keep_everything(at.kafka, profile=stack.profile)
        yield Stage(stack, network, conn, folder, f"http://127.0.0.1:{ports['sink-http']}", links=links)
    finally:
        if conn is not None:
            with suppress(Exception):
                await conn.close()
        if network is not None:
            await network.stop()
        await asyncio.to_thread(stack.stop)
        if mounted:
            _unmount(stack.layout.postgres)
        stack.reset()
        shutil.rmtree(root, ignore_errors=True)


class NoSmallDisk(Exception):
    """A small file system cannot be mounted here; the text says why."""


def _mount(folder: Path) -> None:
    folder.mkdir(exist_ok=True, mode=0o711)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MEGABYTES}m,mode=711", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NoSmallDisk(done.stderr.strip() or "mount is not permitted")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False)


async def keep_everything(kafka: list[str], *, profile: str = "local") -> None:
    """No topic forgets anything."""
    await _provision(kafka, profile, KEPT)


async def forget_as_told(kafka: list[str]) -> None:
    """Topics forget as they do outside of scenes."""
    await _provision(kafka, "local", {})


async def _provision(kafka: list[str], profile: str, more: Mapping[str, str]) -> None:
    specs = provisioning.load(ROOT / "deploy/kafka/topics.yaml", profile)
    await provisioning.provision(kafka, [replace(one, config={**one.config, **more}) for one in specs])


def _targets(stack: Stack) -> dict[str, int]:
    ports = Ports(stack.layout)
    return {
        **dict(zip(KAFKA, stack.kafka_through, strict=False)),
        **dict.fromkeys(POSTGRES, ports["postgres"]),
        "sink-http": ports["sink"],
        "sink-smtp": ports["sink-smtp"],
    }


def _ways(stack: Stack, ports: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """From which port each process is led to which."""
    own = Ports(stack.layout)
    ways = {
        role: {
            str(own[server]): ports[f"{server}-{name}"]
            for server in ("kafka", "postgres")
            if f"{server}-{name}" in ports
        }
        for name, role in ROLES.items()
    }
    ways["delivery-send"][str(own["sink-smtp"])] = ports["sink-smtp"]
    return ways
