"""Where Kafka is: what was said, else the environment, else the local stack of the checkout."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sluice.errors import NoAddress

VARIABLE: Final = "SLUICE_KAFKA_BOOTSTRAP_SERVERS"
STACK_PORTS: Final = Path(".devstack") / "ports.json"


@dataclass(frozen=True, slots=True)
class Address:
    """Bootstrap servers, and the hint that helps when they do not answer."""

    servers: tuple[str, ...]
    hint: str


def find(
    given: str | Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Address:
    """The servers given, else those of the environment, else the local stack found upward from the folder."""
    if given:
        return Address(_split(given), "Check the address that was given.")
    variable = (os.environ if environment is None else environment).get(VARIABLE, "")
    if variable.strip():
        return Address(_split(variable), f"Check {VARIABLE}.")
    start = (folder or Path.cwd()).resolve()
    for parent in (start, *start.parents):
        port = _kafka_port(parent / STACK_PORTS)
        if port is not None:
            hint = f"It is the local stack of {parent}: start it with `sluice dev up`."
            return Address((f"127.0.0.1:{port}",), hint)
    raise NoAddress(
        f"Where is Kafka? Set {VARIABLE} to host:port, pass --bootstrap (bootstrap_servers in Python), "
        "or start a local stack with `sluice dev up` in a checkout."
    )


def _split(given: str | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(given, str):
        parts = list(given)
    elif given.lstrip().startswith("["):
        parts = _json_list(given)
    else:
        parts = given.split(",")
    servers = tuple(part.strip() for part in parts if part.strip())
    if not servers:
        raise NoAddress("The address of Kafka is empty: give host:port, several of them separated by commas.")
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdecimal():
            raise NoAddress("The address of Kafka must be host:port, several of them separated by commas.")
    return servers


def _json_list(given: str) -> list[str]:
    try:
        return [str(part) for part in json.loads(given)]
    except ValueError:
        return []


def _kafka_port(file: Path) -> int | None:
    try:
        port = json.loads(file.read_text())["kafka"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if isinstance(port, int) else None
