"""Kafka and Postgres in containers, where a Docker engine answers on this machine and has both images already.

The images are those of docker-compose.yml (`SLUICE_KAFKA_IMAGE`, `SLUICE_POSTGRES_IMAGE`), the settings those of the
local stack. Nothing is pulled: a test run downloads no image. A `DOCKER_HOST` that is no `unix://` address leaves
containers out.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg
from chassis.clock import monotonic
from devstack import kafka, postgres, programs, roles
from devstack.ports import LOOPBACK

ENGINE: Final = "unix:///var/run/docker.sock"
KAFKA_IMAGE: Final = "apache/kafka:4.3.1"
POSTGRES_IMAGE: Final = "postgres:18"
PROBE_SECONDS_MAX: Final = 2
START_SECONDS_MAX: Final = 90.0
POLL_SECONDS: Final = 0.2
CLUSTER: Final = "c2x1aWNlLXRlc3RraXQtMQ"
CONTROLLER_PORT: Final = 9093
KAFKA_DATA: Final = "/var/lib/kafka/data"
POSTGRES_PORT: Final = 5432
INITDB: Final = "--encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
LOCAL_ONLY: Final = ("listen_addresses", "unix_socket_directories")
"""Settings of the local stack that belong to its place: in a container the image knows better."""


@dataclass(frozen=True, slots=True)
class Images:
    """What an engine here can start."""

    kafka: str
    postgres: str


@dataclass(frozen=True, slots=True)
class Containers:
    """Where the two listen; `urls` are the runtime roles', `migration_urls` the owners'."""

    kafka: list[str]
    admin_url: str
    urls: dict[str, str]
    migration_urls: dict[str, str]


class _Engine(http.client.HTTPConnection):
    """The engine's HTTP, over its socket. Its own client takes longer to import than the asking takes."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PROBE_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket in place of the host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def images() -> Images | None:
    """Both images, or None where no engine answers or one is missing. Without an engine this takes no time."""
    wanted = Images(
        kafka=os.environ.get("SLUICE_KAFKA_IMAGE") or KAFKA_IMAGE,
        postgres=os.environ.get("SLUICE_POSTGRES_IMAGE") or POSTGRES_IMAGE,
    )
    return wanted if are_here(wanted.kafka, wanted.postgres) else None


def are_here(*names: str) -> bool:
    """Whether an engine on this machine has all these images. One elsewhere publishes ports where we do not look."""
    engine = os.environ.get("DOCKER_HOST") or ENGINE
    if not engine.startswith("unix://"):
        return False
    return all(_has(engine.removeprefix("unix://"), name) for name in names)


def _has(engine: str, name: str) -> bool:
    connection = _Engine(engine)
    try:
        connection.request("GET", f"/images/{quote(name, safe='/:@')}/json")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def running(found: Images) -> Iterator[Containers]:
    """Start both with the roles of deploy/postgres/roles.sql; they and their data are gone at the end."""
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    # Its reaper clears up after a run that was killed. It is an image too; without it such a run leaves its containers.
    if not are_here(testcontainers_config.ryuk_image):
        testcontainers_config.ryuk_disabled = True

    known = {role: secrets.token_hex(24) for role in (postgres.ADMIN, *roles.ROLES)}
    broker, database = _free_port(), _free_port()
    kafka_container = DockerContainer(found.kafka, env=kafka_environment(broker))
    postgres_container = PostgresContainer(
        found.postgres,
        username=postgres.ADMIN,
        password=known[postgres.ADMIN],
        dbname=postgres.DATABASE,
        env={"POSTGRES_INITDB_ARGS": INITDB},
    )
    postgres_container.with_command(postgres_command())
    _publish(kafka_container, broker, at=broker)
    _publish(postgres_container, POSTGRES_PORT, at=database)
    with kafka_container, postgres_container:
        asyncio.run(_prepare(broker, database, known))
        yield Containers(
            kafka=[f"{LOOPBACK}:{broker}"],
            admin_url=_url(known, postgres.ADMIN, database),
            urls={one: _url(known, f"{one}_app", database) for one in roles.SERVICES},
            migration_urls={one: _url(known, f"{one}_owner", database) for one in roles.SERVICES},
        )


def kafka_environment(port: int) -> dict[str, str]:
    """The local stack's broker settings as the image reads them.

    The broker listens on the port that it is published on: it tells everybody one address, itself included.
    """
    settings = kafka.PROPERTIES.format(host=LOOPBACK, port=port, controller=CONTROLLER_PORT, data=KAFKA_DATA)
    named = dict(line.split("=", 1) for line in settings.splitlines())
    named["listeners"] = f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://{LOOPBACK}:{CONTROLLER_PORT}"
    return {
        "CLUSTER_ID": CLUSTER,
        "KAFKA_HEAP_OPTS": "-Xmx512m -Xms128m",
        **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in named.items()},
    }


def postgres_command() -> list[str]:
    """The server with the local stack's settings."""
    settings = {name: value for name, value in postgres.SETTINGS.items() if name not in LOCAL_ONLY}
    return ["postgres", *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}"))]


def _publish(container: Any, port: int, *, at: int) -> None:
    """On loopback alone; the library's own way publishes to the whole network."""
    container.ports.clear()
    container.ports[f"{port}/tcp"] = (LOOPBACK, at)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _url(known: dict[str, str], role: str, port: int) -> str:
    return f"postgresql://{role}:{known[role]}@{LOOPBACK}:{port}/{postgres.DATABASE}"


async def _prepare(broker: int, database: int, known: dict[str, str]) -> None:
    deadline = monotonic() + START_SECONDS_MAX
    admin_url = _url(known, postgres.ADMIN, database)
    while not (await postgres.ready(admin_url) and await kafka.ready(broker)):
        if monotonic() > deadline:
            raise TimeoutError(
                f"Kafka and Postgres in containers were not ready within {START_SECONDS_MAX:.0f} s on {LOOPBACK}; "
                "where the engine is not on this machine, DOCKER_HOST=none leaves containers out"
            )
        await asyncio.sleep(POLL_SECONDS)
    sql = await asyncio.to_thread(programs.schema_file(Path.cwd()).read_text)
    connection = await asyncpg.connect(admin_url, timeout=roles.CONNECT_SECONDS_MAX)
    try:
        for role in roles.ROLES:
            await connection.execute("select set_config($1, $2, false)", f"sluice.{role}_password", known[role])
        await connection.execute(sql, timeout=roles.APPLY_SECONDS_MAX)
    finally:
        await connection.close(timeout=roles.CONNECT_SECONDS_MAX)
