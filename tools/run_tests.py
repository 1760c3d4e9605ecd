"""Run pytest with the given arguments and see to it that nothing which the tests started outlives them."""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final

import psutil

MARK: Final = "SLUICE_TEST_RUN"
SUBREAPER: Final = 36
"""`prctl` on Linux: orphans among our descendants become our children, whatever session they moved to."""
GRACE_SECONDS_MAX: Final = 15.0
KILL_SECONDS_MAX: Final = 5.0


def main(arguments: list[str]) -> int:
    """Pytest's exit code; 1 where it was 0 and a process was left."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0)
    mark = f"{os.getpid()}.{psutil.Process().create_time()}"
    tests = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=os.environ | {MARK: mark})
    signal.signal(signal.SIGTERM, lambda *_: tests.terminate())
    # The terminal sends Ctrl-C to pytest too, which then ends by itself and in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = tests.wait()

    _, left = psutil.wait_procs(_descendants(mark), timeout=GRACE_SECONDS_MAX)
    if not left:
        return code
    names = ", ".join(sorted(_name(process) for process in left))
    end(left)
    print(f"Left running by the tests, and now ended: {names}.", file=sys.stderr)
    return code or 1


def _descendants(mark: str) -> list[psutil.Process]:
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    if sys.platform != "linux":
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == mark and process.pid != os.getpid():
                    found[process.pid] = process
    return list(found.values())


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{' '.join(process.cmdline()[:4])[:80]} (pid {process.pid})"
    return f"pid {process.pid}"


def end(processes: list[psutil.Process]) -> None:
    """Ask them to end, then make them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=KILL_SECONDS_MAX)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=KILL_SECONDS_MAX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
