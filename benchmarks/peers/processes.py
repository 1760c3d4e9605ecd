"""Processes of a peer: those that fill, those that work, and one that says when it is ready and waits to be told to
begin."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from chassis.drain import GARBAGE_OBJECTS

from benchmarks.arena import BenchmarkFailed

READY_SECONDS_MAX: Final = 60.0
FILL_SECONDS_MAX: Final = 300.0
STOP_SECONDS_MAX: Final = 15.0


def environment(**more: str) -> dict[str, str]:
    """Ours and `more`; the peers' Python looks for garbage as seldom as ours does (`programs/garbage.py`)."""
    return os.environ | {"PEER_GARBAGE_OBJECTS": str(GARBAGE_OBJECTS)} | more


async def fill(argv: Sequence[str], env: Mapping[str, str], messages: Sequence[bytes]) -> None:
    """Hand the messages over, one a line, and wait until all are in the peer's queue."""
    async with started(argv, env) as process:
        async with _within(FILL_SECONDS_MAX, "a peer's queue is filled"):
            await process.communicate(b"".join(message + b"\n" for message in messages))
        if process.returncode != 0:
            raise BenchmarkFailed(f"{argv} could not fill its queue")


@asynccontextmanager
async def several(
    argvs: Sequence[Sequence[str]], env: Mapping[str, str], *, cwd: Path | None = None
) -> AsyncIterator[list[Process]]:
    """Workers, up to the end: BenchmarkFailed where one has ended by itself, and the others did its work."""
    async with AsyncExitStack() as all_of_them:
        workers = [await all_of_them.enter_async_context(started(argv, env, cwd=cwd, quiet=True)) for argv in argvs]
        yield workers
        if ended := [one.returncode for one in workers if one.returncode is not None]:
            raise BenchmarkFailed(f"{len(ended)} of a peer's {len(workers)} workers ended at work, with {ended}")


@asynccontextmanager
async def ready(argv: Sequence[str], env: Mapping[str, str]) -> AsyncIterator[Process]:
    """A process that has connected and waits for a line."""
    async with started(argv, env) as process:
        await told(process, "ready", seconds_max=READY_SECONDS_MAX)
        yield process


async def told(process: Process, word: str, *, seconds_max: float) -> None:
    """Wait until the process says this word."""
    assert process.stdout is not None
    async with _within(seconds_max, f"a peer's process says {word!r}"):
        while line := await process.stdout.readline():
            if line.decode().strip() == word:
                return
    raise BenchmarkFailed(f"a peer's process ended before it said {word!r}")


@asynccontextmanager
async def _within(seconds_max: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds_max):
            yield
    except TimeoutError:
        raise BenchmarkFailed(f"{what}: not within {seconds_max:.0f} s") from None


def begin(process: Process) -> None:
    """Let a process that waits begin."""
    assert process.stdin is not None
    process.stdin.write(b"begin\n")


@asynccontextmanager
async def started(
    argv: Sequence[str], env: Mapping[str, str], *, cwd: Path | None = None, quiet: bool = False
) -> AsyncIterator[Process]:
    """One process, asked to stop at the end and killed where it does not."""
    pipe = DEVNULL if quiet else PIPE
    process = await asyncio.create_subprocess_exec(*argv, env=env, cwd=cwd, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
