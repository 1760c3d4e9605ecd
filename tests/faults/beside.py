"""Processes beside those of the supervisor."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from devstack.ports import Ports
from devstack.programs import Programs
from devstack.state import Wanted

from tests.faults.stage import Stage


@asynccontextmanager
async def another(stage: Stage, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """One more process of a service meanwhile."""
    process = await _started(stage, name)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _started(stage: Stage, name: str) -> asyncio.subprocess.Process:
    wanted = Wanted.read(stage.stack.layout)
    programs = Programs(stage.stack.layout, Ports(stage.stack.layout))
    program = next(one for one in programs.services(wanted) if one.name == name)
    env = {**program.env, "SLUICE_HEALTH_PORT": "0"}
    return await asyncio.create_subprocess_exec(
        *program.argv,
        env=env,
        cwd=program.cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
