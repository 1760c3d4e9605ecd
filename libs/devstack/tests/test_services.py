"""The services under the supervisor, with small stand-ins in their place: up, scaled, killed, broken, interrupted."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chassis.clock import monotonic, sleep
from devstack.errors import StackError
from devstack.identity import working_in
from devstack.programs import schema_file, topics_file
from devstack.progress import Recorded
from devstack.roles import SERVICES
from devstack.stack import Stack
from devstack.traces import processes_of

pytestmark = pytest.mark.stack

NAMES = {"sink", "sequences", "enrollment", "delivery-plan", "delivery-receive", "console"}
SECONDS_MAX = 150.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stand-ins note what they were given, and look how to behave."""
    return tmp_path_factory.mktemp("standins")


@pytest.fixture(scope="module")
def env(folder: Path) -> dict[str, str]:
    for service in SERVICES:
        package = folder / "packages" / service
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        shutil.copy(Path(__file__).with_name("standin.py"), package / "__main__.py")
    return {"PYTHONPATH": str(folder / "packages"), "STANDIN_FOLDER": str(folder)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Stack]:
    stack = Stack.at(tmp_path_factory.mktemp("services"))
    stack.start(env=env)
    yield stack
    stack.reset()


async def eventually(holds: Callable[[], bool]) -> None:
    deadline = monotonic() + SECONDS_MAX
    while not holds():
        assert monotonic() < deadline, "it did not come about in time"
        await sleep(0.05)


def names(stack: Stack) -> set[str]:
    return {one.name for one in stack.processes() if one.state == "ready"} - {"supervisor", "postgres", "kafka"}


def test_each_service_gets_its_own_addresses_and_none_the_owners(stack: Stack, folder: Path) -> None:
    addresses = stack.addresses

    plan = json.loads((folder / "delivery-plan.json").read_text())
    migration = json.loads((folder / "delivery-migrate.json").read_text())

    assert names(stack) == NAMES | {"sender-1"}
    assert plan["SLUICE_DATABASE_URL"] == addresses.urls["delivery"]
    assert "SLUICE_MIGRATION_URL" not in plan
    assert migration["SLUICE_MIGRATION_URL"] == addresses.migration_urls["delivery"]
    assert plan["SLUICE_WEBHOOK_SECRET"] == addresses.webhook_secret
    assert "SLUICE_EMAIL_HOST" not in json.loads((folder / "sequences-run.json").read_text())


def test_senders_are_added_and_removed_while_everything_else_runs_on(stack: Stack) -> None:
    before = {one.name: one.pid for one in stack.processes()}

    stack.scale_senders(3)
    three = names(stack)
    stack.scale_senders(1)

    assert three == NAMES | {"sender-1", "sender-2", "sender-3"}
    assert {one.name: one.pid for one in stack.processes()} == before


def test_as_many_senders_come_back_as_there_were(stack: Stack, env: dict[str, str]) -> None:
    stack.scale_senders(2)
    stack.stop()

    stack.start(env=env)
    back = names(stack)
    stack.scale_senders(1)

    assert back == NAMES | {"sender-1", "sender-2"}


async def test_a_killed_service_is_started_again(stack: Stack) -> None:
    killed = stack.kill("enrollment", signal.SIGKILL)

    await eventually(
        lambda: any(
            one.name == "enrollment" and one.state == "ready" and one.pid != killed.pid for one in stack.processes()
        )
    )


async def test_a_supervisor_that_was_killed_is_replaced_and_nothing_runs_twice(
    stack: Stack, env: dict[str, str]
) -> None:
    stack.kill("supervisor", signal.SIGKILL)

    await asyncio.to_thread(stack.start, env=env)

    assert names(stack) == NAMES | {"sender-1"}
    assert len(working_in(stack.layout.kafka, name="java")) == 1


def test_a_service_that_does_not_start_is_named_with_its_last_words(
    stack: Stack, folder: Path, env: dict[str, str]
) -> None:
    (folder / "no-enrollment").touch()

    with pytest.raises(StackError, match=r"^enrollment does not start .*'the settings are wrong'"):
        stack.start(env={**env, "CHANGED": "1"})

    (folder / "no-enrollment").unlink()
    stack.start(env=env)
    assert names(stack) == NAMES | {"sender-1"}


def test_a_failed_start_leaves_no_process_behind(stack: Stack, folder: Path, env: dict[str, str]) -> None:
    stack.stop()
    (folder / "no-migration").touch()

    with pytest.raises(StackError, match=r"^migrate-\w+ failed: migration 0007 is broken"):
        stack.start(env=env)

    (folder / "no-migration").unlink()
    assert processes_of(stack.layout.root) == []


async def up_interrupted_at(line: bytes, checkout: Path, env: dict[str, str]) -> tuple[int | None, bytes]:
    """Run `sluice dev up`, send it what Ctrl-C sends once it shows such a line; its exit code and last words."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devstack.cli", "up"),
        cwd=checkout,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    while line not in await process.stdout.readline():
        assert not process.stdout.at_eof()
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    return process.returncode, errors


@pytest.fixture
def checkout(stack: Stack) -> Path:
    """A folder in which `sluice dev` finds this stack."""
    for file in (schema_file(stack.layout.root), topics_file(stack.layout.root)):
        copy = stack.layout.root / "deploy" / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if copy != file:
            shutil.copy(file, copy)
    return stack.layout.root


async def test_an_interrupted_up_leaves_no_process_behind(stack: Stack, checkout: Path, env: dict[str, str]) -> None:
    stack.stop()

    code, errors = await up_interrupted_at(b"postgres ready", checkout, env)

    assert code == 130
    assert b"interrupted; what this command had started was stopped" in errors
    assert processes_of(checkout) == []


async def test_an_interrupted_up_leaves_alone_what_ran_before(
    stack: Stack, checkout: Path, folder: Path, env: dict[str, str]
) -> None:
    stack.stop()
    await asyncio.to_thread(stack.start, services=False)
    before = stack.processes()
    (folder / "no-sequences").touch()

    code, _ = await up_interrupted_at(b"sink ready", checkout, env)

    (folder / "no-sequences").unlink()
    assert code == 130
    assert stack.processes() == before


def test_asking_for_too_many_senders_is_one_sentence(stack: Stack) -> None:
    with pytest.raises(StackError, match="There can be 0 to 64 senders, not 65"):
        stack.start(senders=65, progress=Recorded())
