"""`make demo`: `python -m testkit.demo [--contacts N] [--kill] [--ignore-gate]`."""

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from devstack.errors import StackError
from devstack.layout import repository
from devstack.progress import Progress
from devstack.stack import Stack
from rich.markup import escape
from sluice import SluiceError

from testkit.demo.observer import TooLate
from testkit.demo.report import Report
from testkit.demo.story import Story

CONTACTS_MIN: Final = 1_000
SABOTAGE: Final = Path("tests", "sabotage")
"""Of this repository: a `sitecustomize` that breaks a promise in sender processes."""
QUICK: Final = {
    "SLUICE_LEASE_SECONDS_MAX": "8",
    "SLUICE_SEND_SECONDS_MAX": "3",
    "SLUICE_LEASE_MARGIN_SECONDS": "1",
}
"""What a crash leaves in doubt is decided after the lease: a demo need not wait as long as production does."""


def main() -> int:
    """0 where every promise holds, 1 where one is broken or something went wrong, 130 where it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="make demo ARGS=…",
        description="The whole life of a sequence on real Kafka and Postgres, with every promise counted.",
    )
    parser.add_argument("--contacts", type=int, default=10_000, help="how many are enrolled (10,000)")
    parser.add_argument("--kill", action="store_true", help="kill -9 each process in turn meanwhile")
    parser.add_argument("--ignore-gate", action="store_true", help="break a promise: senders that ignore the gate")
    asked = parser.parse_args()
    if asked.contacts < CONTACTS_MIN:
        parser.error(f"--contacts: at least {CONTACTS_MIN}, or there is no load to stop")
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the story tells of an outage itself
    report = Report()
    root = repository(Path.cwd())
    home = root / ".demo"
    home.mkdir(exist_ok=True)
    stack = Stack.at(home)
    try:
        stack.reset()
        stack.start(env=_environment(root, ignore_gate=asked.ignore_gate), progress=Progress(sys.stdout), attached=True)
        asyncio.run(Story(stack, report, contacts=asked.contacts, kills=asked.kill).tell())
    except (StackError, SluiceError, TooLate) as failed:
        report.console.print(f"\n[red]The demo did not come to its end:[/red] {escape(str(failed))}")
        report.console.print(f"What the processes wrote is in {stack.layout.logs}.")
        report.table()
        return 1
    except KeyboardInterrupt:
        report.console.print("\nInterrupted; everything is being stopped.")
        return 130
    finally:
        with suppress(StackError):
            stack.stop()
    return 0 if report.table() else 1


def _environment(root: Path, *, ignore_gate: bool) -> dict[str, str]:
    return QUICK | ({"PYTHONPATH": str(root / SABOTAGE)} if ignore_gate else {})


if __name__ == "__main__":
    sys.exit(main())
