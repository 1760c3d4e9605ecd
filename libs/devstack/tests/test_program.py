"""One supervised program: ready, restarted with growing pauses, stopped by force where it must be."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chassis.clock import monotonic, sleep
from devstack import program as module
from devstack.identity import ProcessId
from devstack.program import Child, Program
from devstack.supervisor import last_words, rotate


def python(code: str, folder: Path, **more: Any) -> Program:
    return Program(
        name="it", argv=(sys.executable, "-u", "-c", code), log=folder / "it.log", env=dict(os.environ), **more
    )


async def eventually(holds: Callable[[], bool]) -> None:
    deadline = monotonic() + 60
    while not holds():
        assert monotonic() < deadline
        await sleep(0.01)


async def test_a_program_that_ends_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    child = Child(python("raise SystemExit('no')", tmp_path), changed=lambda: None)
    began = monotonic()

    child.start()
    await eventually(lambda: child.restarts == 3)
    took = monotonic() - began
    await child.stop()

    assert took > module.BACKOFF_SECONDS * (1 + 2)
    assert child.fault == "it ended with exit code 1"
    assert "it last said 'no'" in last_words(tmp_path / "it.log")
    assert child.state == "stopped"


async def test_a_program_that_ignores_its_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)\n"
        "time.sleep(60)"
    )
    child = Child(python(code, tmp_path, stop_seconds_max=0.2), changed=lambda: None)
    child.start()
    await eventually(lambda: (tmp_path / "it.log").exists() and (tmp_path / "it.log").read_text().endswith("\n"))
    process, grandchild = child.process, ProcessId.of(int((tmp_path / "it.log").read_text()))

    await child.stop()

    assert process is not None
    assert not process.alive()
    await eventually(lambda: grandchild is None or not grandchild.alive())


async def test_a_program_that_makes_no_progress_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALIVE_POLL_SECONDS", 0.01)

    async def never() -> bool:
        return False

    child = Child(python("import time; time.sleep(60)", tmp_path, alive=never), changed=lambda: None)
    child.start()
    await eventually(lambda: child.restarts == 1)
    await child.stop()

    assert child.fault in {"it ended with SIGKILL", "it ended with SIGTERM"}


async def test_a_program_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    child = Child(Program(name="it", argv=("/nowhere/it",), log=tmp_path / "it.log"), changed=lambda: None)

    child.start()
    await eventually(lambda: child.restarts > 0)
    await child.stop()

    assert "No such file or directory: '/nowhere/it'" in (child.fault or "")


async def test_an_identity_is_not_taken_over_by_the_next_process_with_that_pid() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    found = ProcessId.of(process.pid)
    assert found is not None

    assert found.alive()
    assert not ProcessId(pid=process.pid, started="another boot:1").alive()
    await process.communicate(b"\n")
    assert not found.alive()


def test_a_log_that_grew_too_large_is_set_aside_while_its_program_writes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devstack.supervisor.LOG_BYTES_MAX", 4)
    file = tmp_path / "it.log"
    with file.open("ab", buffering=0) as writer:
        writer.write(b"before")

        rotate(tmp_path)
        writer.write(b"after")

    assert file.read_bytes() == b"after"
    assert (tmp_path / "it.log.1").read_bytes() == b"before"


def test_a_full_disk_is_found_in_the_last_words(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_text("FATAL: could not write: No space left on device\nshut down\n")

    assert last_words(log).startswith("the disk is full")
