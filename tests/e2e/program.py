"""Other programs beside the test: run to their end, or read line by line while they run."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RUN_SECONDS_MAX: Final = 90.0
LINE_SECONDS_MAX: Final = 60.0
END_SECONDS_MAX: Final = 10.0
LINE_BYTES_MAX: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program left behind."""

    code: int
    stdout: str
    stderr: str


class Running:
    """A program that runs; its stdout is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    async def line(self, wanted: Callable[[str], bool], *, seconds_max: float = LINE_SECONDS_MAX) -> str:
        """The next line that is wanted; fails where the program ends, or says nothing of it in time."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds_max):
                while raw := await self._process.stdout.readline():
                    self.lines.append(raw.decode().rstrip("\n"))
                    if wanted(self.lines[-1]):
                        return self.lines[-1]
        except TimeoutError:
            raise AssertionError(f"no such line within {seconds_max:.0f} s; the last ones: {self.lines[-5:]}") from None
        raise AssertionError(f"it ended without such a line; the last ones: {self.lines[-5:]}")

    async def interrupt(self) -> int:
        """What Ctrl-C does; the exit code."""
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(END_SECONDS_MAX):
            return await self._process.wait()


async def run(
    *argv: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds_max: float = RUN_SECONDS_MAX,
) -> Ended:
    """Run a program to its end."""
    process = await _start(argv, stdin=asyncio.subprocess.PIPE, env=env, cwd=cwd, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds_max):
            out, err = await process.communicate((stdin or "").encode())
    finally:
        await _end(process)
    return Ended(process.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def running(*argv: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> AsyncIterator[Running]:
    """A program for as long as the block lasts; what it says on stderr is among its lines."""
    process = await _start(argv, stdin=asyncio.subprocess.DEVNULL, env=env, cwd=cwd, stderr=asyncio.subprocess.STDOUT)
    try:
        yield Running(process)
    finally:
        await _end(process)


async def _start(
    argv: Sequence[str], *, stdin: int, stderr: int, env: Mapping[str, str] | None, cwd: Path | None
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(env or {}),
        cwd=cwd,
        limit=LINE_BYTES_MAX,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
