"""What a figure was measured on, and how much memory processes took."""

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from timeit import repeat
from typing import Any, Final

import psutil
from chassis.clock import monotonic, utc_now
from chassis.pool import Conn
from devstack.stack import Stack

CHECKOUT: Final = Path(__file__).parents[1]
MEGABYTE: Final = 1_000_000
ADDITIONS: Final = 1_000_000
COMMITS: Final = 100
SETTINGS: Final = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "autovacuum_naptime")
NO_SERVICE: Final = frozenset({"supervisor", "postgres", "kafka", "sink"})


async def described(conn: Conn) -> dict[str, Any]:
    """The machine, how fast it is at this moment, the settings that matter, and which commit is measured."""
    return {
        "measured_at": utc_now().isoformat(timespec="seconds"),
        **commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_before": [round(one, 2) for one in os.getloadavg()],
        "addition_ms": round(_addition_ms(), 1),
        "commit_ms": await _commit_ms(conn),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgres": await conn.fetchval("show server_version"),
        "postgres_settings": {name: await conn.fetchval(f"show {name}") for name in SETTINGS},
    }


def commit(checkout: Path = CHECKOUT) -> dict[str, str]:
    """The commit that is checked out, with a + where files were changed since; empty where this is no checkout."""
    git = ("git", "-C", str(checkout))
    # The figures themselves are no change: each that is kept is one more file that differs.
    changes = (*git, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/results")
    try:
        name = subprocess.check_output((*git, "rev-parse", "--short", "HEAD"), stderr=subprocess.DEVNULL, text=True)
        changed = subprocess.check_output(changes, text=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": name.strip() + ("+" if changed else "")}


def in_words(machine: Mapping[str, Any]) -> str:
    """The same in one line."""
    settings = ", ".join(f"{name}={value}" for name, value in machine["postgres_settings"].items())
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['system']}, "
        f"Python {machine['python']}, PostgreSQL {machine['postgres']} ({settings}), load before: "
        f"{machine['load_before'][0]}{_speed_in_words(machine)}"
    )


def _speed_in_words(machine: Mapping[str, Any]) -> str:
    if "commit_ms" not in machine:  # of a figure that was kept before this was measured
        return ""
    usual, most = machine["commit_ms"]
    return f", {ADDITIONS:,} additions in {machine['addition_ms']} ms, a commit in {usual} ms (99 of 100 in {most})"


def _addition_ms() -> float:
    """How long Python takes for what is always the same: a virtual machine is not equally fast at all times."""
    return median(repeat(lambda: sum(range(ADDITIONS)), number=1, repeat=5)) * 1_000


async def _commit_ms(conn: Conn) -> tuple[float, float]:
    """The median and the 99th of 100 commits that write to the disk."""
    took = []
    for _ in range(COMMITS):
        started = monotonic()
        await conn.execute("select pg_logical_emit_message(true, 'benchmark', 'a commit')")
        took.append((monotonic() - started) * 1_000)
    return round(median(took), 1), round(quantiles(took, n=100)[98], 1)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def service_peaks(stack: Stack) -> dict[str, float]:
    """The peak resident memory of each service process in MB (10⁶ bytes), and of none of the servers under them.

    Linux keeps the peak (VmHWM); where there is no /proc it is what the process holds now.
    """
    return {
        one.name: round(_peak_bytes(one.pid) / MEGABYTE, 1)
        for one in stack.processes()
        if one.pid is not None and one.name not in NO_SERVICE
    }


def processor_seconds(stack: Stack) -> dict[str, float]:
    """What each process of the stack, and this one, has used of the processor so far, with its children."""
    pids = {one.name: one.pid for one in stack.processes() if one.pid is not None}
    return {name: _used(pid) for name, pid in (pids | {"the client": os.getpid()}).items()}


def used_per_unit(before: Mapping[str, float], after: Mapping[str, float], units: int) -> dict[str, float]:
    """Microseconds of processor time per unit of work, by process; those that took less than one are left out."""
    each = {name: round((used - before.get(name, 0.0)) * 1e6 / units, 1) for name, used in after.items()}
    return {name: used for name, used in sorted(each.items(), key=lambda pair: -pair[1]) if used >= 1.0}


def _used(pid: int) -> float:
    total = 0.0
    root = psutil.Process(pid)
    for one in (root, *(root.children(recursive=True) if root.name() == "postgres" else ())):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system  # of those that ended
    return total


def restarted(stack: Stack) -> list[str]:
    """The processes that the supervisor had to start again."""
    return [one.name for one in stack.processes() if one.restarts]


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
