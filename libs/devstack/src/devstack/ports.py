"""Loopback ports: chosen once per stack, remembered, and moved only when somebody else took one."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final

from devstack.errors import StackError
from devstack.layout import Layout, read_json, write_private

LOOPBACK: Final = "127.0.0.1"
FIRST: Final = 20_000  # below the range that systems hand out to outgoing connections
COUNT: Final = 12_000
STEP: Final = 64


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


class Ports:
    """The remembered ports of one stack. `SLUICE_DEV_PORT_<NAME>` in the environment overrides a choice."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._chosen = _remembered(layout)

    def __getitem__(self, name: str) -> int:
        """The port of `name`, chosen now if it never was."""
        if name not in self._chosen:
            self._chosen[name] = self._choose()
            self._remember()
        return self._chosen[name]

    def settle(self, names: Iterable[str], *, say: Callable[[str], None]) -> None:
        """Make sure that each port can be bound by programs that are not running yet."""
        self._chosen = _remembered(self._layout) | self._chosen  # somebody may have asked for more, and been told
        for name in names:
            wished = _from_environment(name)
            if wished is not None:
                if not is_free(wished):
                    raise StackError(
                        f"Port {wished}, given for {name} by {_variable(name)}, is taken by another program: "
                        "stop that program or give another port."
                    )
                self._chosen[name] = wished
            elif not is_free(self[name]):
                taken = self._chosen.pop(name)
                say(f"port {taken} of {name} is taken by another program, using {self[name]} instead")
        self._remember()

    def _choose(self) -> int:
        digest = hashlib.sha256(str(self._layout.root).encode()).digest()
        start = int.from_bytes(digest[:4], "big") // STEP * STEP
        used = set(self._chosen.values())
        for number in range(COUNT):
            port = FIRST + (start + number) % COUNT
            if port not in used and is_free(port):
                return port
        raise StackError(f"No loopback port between {FIRST} and {FIRST + COUNT} is free: stop some programs first.")

    def _remember(self) -> None:
        write_private(self._layout.ports, json.dumps(self._chosen, indent=1))


def _remembered(layout: Layout) -> dict[str, int]:
    return {name: port for name, port in read_json(layout.ports).items() if isinstance(port, int)}


def _variable(name: str) -> str:
    return f"SLUICE_DEV_PORT_{name.upper().replace('-', '_')}"


def _from_environment(name: str) -> int | None:
    text = os.environ.get(_variable(name))
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise StackError(f"{_variable(name)} must be a port between 1 and 65535, not {text!r}.")
    return int(text)
