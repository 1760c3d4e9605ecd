"""Every process says by itself whether it lives, whether it is ready, and what it counts."""

import aiohttp
import pytest
from devstack.stack import ProcessInfo, Stack

pytestmark = pytest.mark.stack

SERVICES = {"sequences", "enrollment", "delivery-plan", "delivery-receive", "console", "sender-1"}


async def _get(process: ProcessInfo, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{process.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_every_process_of_a_service_answers_about_its_health(stack: Stack) -> None:
    processes = {process.name: process for process in stack.processes() if process.name in SERVICES}

    alive = {name: await _get(process, "/livez") for name, process in processes.items()}
    ready = {name: await _get(process, "/readyz") for name, process in processes.items()}

    assert set(processes) == SERVICES
    assert alive == dict.fromkeys(SERVICES, (200, '{"stalled": []}'))
    assert ready == dict.fromkeys(SERVICES, (200, '{"not_ready": [], "stalled": []}'))


async def test_every_process_of_a_service_tells_prometheus_how_old_its_loops_progress_is(stack: Stack) -> None:
    processes = [process for process in stack.processes() if process.name in SERVICES]

    told = {process.name: await _get(process, "/metrics") for process in processes}

    assert {status for status, _ in told.values()} == {200}
    assert [name for name, (_, text) in told.items() if "# TYPE sluice_loop_seconds_since_beat gauge" not in text] == []
