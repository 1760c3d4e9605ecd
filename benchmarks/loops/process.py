"""Starts a program of a benchmark, runs it, and reads the one line that it prints."""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, Final

import orjson
import uvloop
from chassis.drain import GARBAGE_OBJECTS

SECONDS_MAX: Final = 300.0
OWN_LOOP: Final = "asyncio"


def told() -> dict[str, Any]:
    """What the program was started with; garbage is looked for as seldom as in a process of ours."""
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])
    given: dict[str, Any] = orjson.loads(sys.argv[1])
    return given


def run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop, which makes some of them two thirds faster; on asyncio's own loop where told `asyncio`."""
    if orjson.loads(sys.argv[1]).get(OWN_LOOP):
        asyncio.run(main)
    else:
        uvloop.run(main)


def say(**figures: Any) -> None:
    """Print the line."""
    sys.stdout.write(orjson.dumps(figures).decode() + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def program(
    name: str, settings: Mapping[str, Any], *, env: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator["asyncio.subprocess.Process"]:
    """It runs while the block does, and is ended with it; `env` is added to its environment."""
    argv = (sys.executable, "-m", f"benchmarks.{name}", orjson.dumps(settings).decode())
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, env=os.environ | env)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def heard(process: "asyncio.subprocess.Process") -> dict[str, Any]:
    """What it prints next; TimeoutError, or RuntimeError where it has ended without a word."""
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS_MAX):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a program of the benchmark has ended without a word")
    figures: dict[str, Any] = orjson.loads(line)
    return figures
