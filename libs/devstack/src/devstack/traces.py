"""What a stack has left on this machine: for tests that promise that nothing is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from devstack.layout import Layout


def processes_of(root: Path) -> list[str]:
    """Every other process that works in the stack of `root` or was started for it: pid and command line."""
    layout = Layout(root.resolve())
    places = [str(layout.root), str(layout.postgres)]
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        if process.pid == os.getpid() or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        with suppress(psutil.Error, OSError):
            words = " ".join([*(process.info["cmdline"] or []), process.cwd()])
            if any(place in words for place in places):
                found.append(f"{process.pid} {words[:200]}")
    return found
