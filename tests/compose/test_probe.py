"""The container's health check is the answer of the process, and nothing else."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from chassis.health import Health
from prometheus_client import CollectorRegistry

PROBE: Final = Path(__file__).parents[2] / "deploy" / "docker" / "probe.py"


@pytest.fixture
async def health() -> AsyncIterator[tuple[Health, int]]:
    one = Health(registry=CollectorRegistry())
    async with one.serve("127.0.0.1", 0) as port:
        yield one, port


async def test_it_says_what_the_process_says(health: tuple[Health, int]) -> None:
    process, port = health
    process.ready("kafka", False)

    alive, ready = await _ask(port, "/livez"), await _ask(port, "/readyz")

    assert (alive.returncode, ready.returncode) == (0, 1)
    assert "kafka" in ready.stdout


async def test_a_port_where_nobody_listens_is_not_healthy() -> None:
    found = await _ask(1, "/livez")

    assert found.returncode == 1
    assert "/livez on port 1" in found.stdout
    assert found.stderr == ""


async def _ask(port: int, path: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-I", "-S", str(PROBE), path],
        env={"SLUICE_HEALTH_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
    )
