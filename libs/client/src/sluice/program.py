"""The program `sluice`: loads the command line, which takes a while, and ends with a clean line at any Ctrl-C."""

import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

EXIT_INTERRUPTED: Final = 130


def main() -> None:
    """Run one command; a Ctrl-C outside of what it does itself ends it at once."""
    signal.signal(signal.SIGINT, _leave)
    importlib.import_module("sluice.cli").app()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, Ctrl-C is Python's own: it raises KeyboardInterrupt, or cancels the task of an event loop."""
    if threading.current_thread() is not threading.main_thread():  # none but the main one hears of signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_: int, __: FrameType | None) -> None:
    sys.stderr.write("Interrupted.\n")
    raise SystemExit(EXIT_INTERRUPTED)
