"""What a fresh stack needs before services run: tables and topics."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from devstack.errors import StackError, naming
from devstack.program import Program, spawn
from devstack.programs import Programs
from devstack.roles import SERVICES

RUN_SECONDS_MAX: Final = 120


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first failure ends the others and is raised as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def migrate(programs: Programs, env: Mapping[str, str]) -> str:
    """Bring every service's schema up to date; the line to show."""
    await together(_run(programs.migration(service, env)) for service in SERVICES)
    return f"{', '.join(SERVICES)} migrated"


async def _run(program: Program) -> None:
    with naming(program.log, doing=f"running {program.name}"):
        program.log.unlink(missing_ok=True)
        process = await spawn(program)
    try:
        async with asyncio.timeout(RUN_SECONDS_MAX):
            code = await process.wait()
    except TimeoutError:
        raise StackError(f"{program.name} took longer than {RUN_SECONDS_MAX} s: see {program.log}.") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    if code != 0:
        lines = program.log.read_text(errors="replace").strip().splitlines() or [f"exit code {code}"]
        raise StackError(f"{program.name} failed: {lines[-1][:300]} (see {program.log}).")


async def provision(programs: Programs, file: Path, *, profile: str) -> str:
    """Make the topics of the file, by the program that deployments use too; the line to show."""
    await _run(programs.provisioning(file, profile))
    return f"topics as in {file.name}, profile {profile}"
