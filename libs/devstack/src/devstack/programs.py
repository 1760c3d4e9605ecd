"""The programs of a stack: Kafka, Postgres, the sink and the services, with their addresses in the environment."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from devstack import jars, kafka, postgres, probe, roles
from devstack.layout import Layout, repository
from devstack.ports import LOOPBACK, Ports
from devstack.program import Program
from devstack.state import Wanted

BROKERS: Final = ("kafka", "kafka-2", "kafka-3")
"""By their node ids, from 1: the first alone, or all three."""
STACK: Final = ("postgres", *BROKERS)
SINK_HTTP: Final = "sink"  # it answers about its health there too
SINK_SMTP: Final = "sink-smtp"
RECEIVE_HTTP: Final = "receive-http"
CONSOLE_HTTP: Final = "console-http"
PHONE_NUMBER_ID: Final = "100000000000001"
SERVICES: Final = {
    "sink": ("devstack.sink",),
    "sequences": ("sequences", "run"),
    "enrollment": ("enrollment", "run"),
    "delivery-plan": ("delivery", "plan"),
    "delivery-receive": ("delivery", "receive"),
    "console": ("console", "run"),
}
SENDER: Final = ("delivery", "send")
SENDERS_MAX: Final = 64


MORE_PORTS: Final = {
    **{name: f"{name}-controller" for name in BROKERS},
    "sink": SINK_SMTP,
    "delivery-receive": RECEIVE_HTTP,
    "console": CONSOLE_HTTP,
}
"""Each program has a port of its own name; these bind a second one."""


def port_names(wanted: Wanted, *, running: Collection[str]) -> list[str]:
    """Every port that the wanted programs are about to bind."""
    wanted_ones = ("postgres", *BROKERS[: wanted.brokers], *services(wanted))
    starting = [name for name in wanted_ones if name not in running]
    return [*starting, *(MORE_PORTS[name] for name in starting if name in MORE_PORTS)]


def services(wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """The wanted services and the sink: the module and command of each, by name."""
    if not wanted.services:
        return {}
    wanted_ones = {name: module for name, module in SERVICES.items() if name not in wanted.without}
    return wanted_ones | {f"sender-{number}": SENDER for number in range(1, wanted.senders + 1)}


class Programs:
    """Builds each program of one stack."""

    def __init__(self, layout: Layout, ports: Ports) -> None:
        self._layout = layout
        self._ports = ports

    def stack(self, wanted: Wanted) -> list[Program]:
        return [self._postgres(), *(self._kafka(node, wanted) for node in range(1, wanted.brokers + 1))]

    def services(self, wanted: Wanted) -> list[Program]:
        return [self._service(name, module, wanted.env) for name, module in services(wanted).items()]

    def migration(self, service: str, extra: Mapping[str, str]) -> Program:
        return Program(
            name=f"migrate-{service}",
            argv=(sys.executable, "-m", service, "migrate"),
            log=self._layout.log(f"migrate-{service}"),
            env=self._environment(service, port=0)
            | {"SLUICE_MIGRATION_URL": roles.url(self._layout, f"{service}_owner", port=self._ports["postgres"])}
            | dict(extra),
            cwd=repository(self._layout.root),
        )

    def provisioning(self, file: Path, profile: str) -> Program:
        options = ("--file", str(file), "--profile", profile, "--bootstrap", self.bootstrap())
        return Program(
            name="topics",
            argv=(sys.executable, "-m", "messaging.topics", *options),
            log=self._layout.log("topics"),
            env=dict(os.environ),
            cwd=repository(self._layout.root),
        )

    def bootstrap(self) -> str:
        return ",".join(bootstrap(self._layout))

    def _postgres(self) -> Program:
        layout, port = self._layout, self._ports["postgres"]
        password = roles.passwords(layout)[postgres.ADMIN]
        return Program(
            name="postgres",
            argv=tuple(postgres.server(layout, port=port)),
            log=layout.log("postgres"),
            port=port,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd=layout.postgres,
            account=postgres.account(),
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            stop_seconds_max=postgres.STOP_SECONDS_MAX,
            before=partial(postgres.prepare, layout, password=password),
            ready=partial(postgres.ready, roles.url(layout, postgres.ADMIN, port=port, database=postgres.ADMIN)),
        )

    def _kafka(self, node: int, wanted: Wanted) -> Program:
        layout, name = self._layout, BROKERS[node - 1]
        port, files = self._ports[name], [jars.cache() / jar.name for jar in jars.pinned()]
        controllers = {
            number: self._ports[MORE_PORTS[one]] for number, one in enumerate(BROKERS[: wanted.brokers], start=1)
        }
        listeners: list[str] = []
        if wanted.kafka_through:
            ways = dict(zip(through(self._ports, wanted), wanted.kafka_through, strict=True))
            listeners = kafka.through(ways, port=port, controller=controllers[node])
        return Program(
            name=name,
            argv=tuple(kafka.server(layout, files, node=node, listeners=listeners)),
            log=layout.log(name),
            port=port,
            env=dict(os.environ),
            cwd=layout.kafka,
            death_signal=signal.SIGTERM,
            stop_seconds_max=15.0,
            before=partial(kafka.prepare, layout, files, node=node, port=port, controllers=controllers),
            ready=partial(kafka.ready, port),
        )

    def _service(self, name: str, module: tuple[str, ...], extra: Mapping[str, str]) -> Program:
        port = self._ports[name]
        return Program(
            name=name,
            argv=(sys.executable, "-m", *module),
            log=self._layout.log(name),
            port=port,
            env=self._environment(module[0], port=port) | dict(extra),
            cwd=repository(self._layout.root),
            ready=partial(probe.says_ok, port, "/readyz"),
            alive=partial(probe.says_ok, port, "/livez"),
        )

    def _environment(self, module: str, *, port: int) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not _is_secret_file(name)}
        ours = {
            "PYTHONUNBUFFERED": "1",
            "SLUICE_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap(),
            "SLUICE_HEALTH_HOST": LOOPBACK,
            "SLUICE_HEALTH_PORT": str(port),
        }
        if module in roles.SERVICES:
            ours["SLUICE_DATABASE_URL"] = roles.url(self._layout, f"{module}_app", port=self._ports["postgres"])
        if module in {"delivery", "devstack.sink"}:
            ours |= self._channels()
        if module == "console":
            ours |= {"SLUICE_CONSOLE_HOST": LOOPBACK, "SLUICE_CONSOLE_PORT": str(self._ports[CONSOLE_HTTP])}
        return inherited | ours

    def _channels(self) -> dict[str, str]:
        http = str(self._ports[SINK_HTTP])
        return {
            "SLUICE_EMAIL_HOST": LOOPBACK,
            "SLUICE_EMAIL_PORT": str(self._ports[SINK_SMTP]),
            "SLUICE_EMAIL_FROM": "Sluice <sluice@example.org>",
            "SLUICE_WHATSAPP_BASE_URL": f"http://{LOOPBACK}:{http}",
            "SLUICE_WHATSAPP_PHONE_NUMBER_ID": PHONE_NUMBER_ID,
            "SLUICE_WHATSAPP_TOKEN": "local",
            "SLUICE_WEBHOOK_SECRET": webhook_secret(self._layout),
            "SLUICE_WEBHOOK_ALLOW_PRIVATE_NETWORKS": "true",
            "SLUICE_UNKNOWN_WAIT_SECONDS": "5",
            "SLUICE_REPORT_SECRET": webhook_secret(self._layout),
            "SLUICE_UNSUBSCRIBE_URL": f"http://{LOOPBACK}:{self._ports[RECEIVE_HTTP]}/unsubscribe",
            "SLUICE_UNSUBSCRIBE_SECRET": unsubscribe_secret(self._layout),
            "SLUICE_RECEIVE_HOST": LOOPBACK,
            "SLUICE_RECEIVE_PORT": str(self._ports[RECEIVE_HTTP]),
            "SLUICE_SINK_HTTP_PORT": http,
            "SLUICE_SINK_SMTP_PORT": str(self._ports[SINK_SMTP]),
            "SLUICE_SINK_FILE": str(self._layout.sink_file),
        }


def bootstrap(layout: Layout) -> list[str]:
    """Where the brokers of a stack listen."""
    ports = Ports(layout)
    return [f"{LOOPBACK}:{ports[name]}" for name in BROKERS[: Wanted.read(layout).brokers]]


def through(ports: Ports, wanted: Wanted) -> list[int]:
    """The ports of Kafka's listeners that send their clients to proxies, in the order of those."""
    return [ports[f"kafka-through-{number}"] for number, _ in enumerate(wanted.kafka_through or (), start=1)]


def webhook_secret(layout: Layout) -> str:
    """The stack's own key for signed webhooks, in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(bytes.fromhex(roles.passwords(layout)["delivery_app"])).decode()


def unsubscribe_secret(layout: Layout) -> str:
    """The stack's own, which stays as long as its data do."""
    return hashlib.sha256(b"unsubscribe:" + roles.passwords(layout)["delivery_app"].encode()).hexdigest()


def _is_secret_file(name: str) -> bool:
    """`SLUICE_X_FILE` beside a `SLUICE_X` of ours would be refused."""
    return name.startswith("SLUICE_") and name.endswith("_FILE")


def schema_file(root: Path) -> Path:
    return repository(root) / "deploy" / "postgres" / "roles.sql"


def topics_file(root: Path) -> Path:
    return repository(root) / "deploy" / "kafka" / "topics.yaml"
