"""The program `sluice` as a person or a script runs it."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.program import Ended, Running, run, running


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs commands; `home` is where it keeps what it must remember."""

    bootstrap: str
    home: Path

    async def __call__(self, *arguments: str, stdin: str | None = None) -> Ended:
        return await run(*_sluice(arguments), stdin=stdin, env=self._environment())

    async def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """What a command that succeeds prints with --json."""
        ended = await self(*arguments, "--json", stdin=stdin)
        assert ended.code == 0, ended
        return json.loads(ended.stdout)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Running]:
        """A command that goes on until it is interrupted."""
        async with running(*_sluice(arguments), env=self._environment()) as found:
            yield found

    def _environment(self) -> dict[str, str]:
        return {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "XDG_STATE_HOME": str(self.home / "state")}


def _sluice(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return (sys.executable, "-m", "sluice", *arguments)
