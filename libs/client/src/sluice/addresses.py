"""Where Kafka and the console are: what was said, else the environment, else the local stack of the checkout."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sluice.errors import NoAddress

VARIABLE: Final = "SLUICE_KAFKA_BOOTSTRAP_SERVERS"
CONSOLE_VARIABLE: Final = "SLUICE_CONSOLE_URL"
CONSOLE_PORT: Final = "console-http"
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
    found = _stack_port("kafka", folder)
    if found is not None:
        return Address((f"127.0.0.1:{found.port}",), found.hint)
    raise NoAddress(
        f"Where is Kafka? Set {VARIABLE} to host:port, pass --bootstrap (bootstrap_servers in Python), "
        "or start a local stack with `sluice dev up` in a checkout."
    )


@dataclass(frozen=True, slots=True)
class ConsoleAddress:
    """Where the console answers, and the hint that helps when it does not."""

    url: str
    hint: str


def find_console(
    given: str | None = None, *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> ConsoleAddress:
    """The address given, else the environment's, else the local stack's, found upward from the folder."""
    if given:
        return ConsoleAddress(_url(given), "Check the address that was given with --console.")
    variable = (os.environ if environment is None else environment).get(CONSOLE_VARIABLE, "").strip()
    if variable:
        return ConsoleAddress(_url(variable), f"Check {CONSOLE_VARIABLE}.")
    found = _stack_port(CONSOLE_PORT, folder)
    if found is not None:
        return ConsoleAddress(f"http://127.0.0.1:{found.port}", found.hint)
    raise NoAddress(
        f"Where is the console? Set {CONSOLE_VARIABLE} to its address, pass --console, "
        "or start a local stack with `sluice dev up` in a checkout."
    )


def _url(given: str) -> str:
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise NoAddress("The address of the console must begin with http:// or https://.")
    return given.rstrip("/")


@dataclass(frozen=True, slots=True)
class _StackPort:
    port: int
    hint: str


def _stack_port(name: str, folder: Path | None) -> _StackPort | None:
    """A port of the local stack of the checkout around the folder."""
    start = (folder or Path.cwd()).resolve()
    for parent in (start, *start.parents):
        port = _port_in(parent / STACK_PORTS, name)
        if port is not None:
            return _StackPort(port, f"It is the local stack of {parent}: start it with `sluice dev up`.")
    return None


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


def _port_in(file: Path, name: str) -> int | None:
    try:
        port = json.loads(file.read_text())[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if isinstance(port, int) else None
