"""`make cases`: `python -m testkit.cases [--table NAME] [--case WORDS] [--list]`."""

import argparse
import asyncio
import json
import logging
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from chassis.clock import monotonic, new_id
from devstack.errors import StackError
from devstack.layout import repository
from devstack.progress import Progress
from devstack.stack import Stack
from rich.console import Console
from rich.table import Table
from sluice import Sluice, SluiceError
from sluice.asking import Asker

from testkit.cases import clock as clocks
from testkit.cases.case import Case, Script
from testkit.cases.clock import MovableClock
from testkit.cases.quiet import Quiet, TooBusy
from testkit.cases.seen import TOPICS, Seen
from testkit.cases.stage import Stage
from testkit.cases.tables import SCRIPTS, TABLES
from testkit.demo import traces
from testkit.stack import SERVICES

FILE_WIDTH: Final = 170
QUICK: Final = {
    "SLUICE_LEASE_SECONDS_MAX": "4",
    "SLUICE_SEND_SECONDS_MAX": "1.5",
    "SLUICE_LEASE_MARGIN_SECONDS": "1",
    "SLUICE_SINK_KEEP_BODIES": "true",
    "SLUICE_UNKNOWN_WAIT_SECONDS": "600",
}

SENDERS: Final = ("first", "second", "third", "slow-1", "slow-2")
SLOW: Final = ("slow-1", "slow-2")
PERIOD_SECONDS: Final = 3_600
"""The slow ones send once an hour."""

Outcome = tuple[Script, dict[str, str], str]
"""A script, what was seen by line, and why it was not played to its end."""


def main() -> int:
    """0 where all was seen as expected, 1 where not, 130 where it was interrupted."""
    parser = argparse.ArgumentParser(
        prog="make cases ARGS=…",
        description="Every case of what the words mean, on real Kafka and Postgres: expected, and seen.",
    )
    parser.add_argument("--table", choices=TABLES, action="append", help="this table only; may be repeated")
    parser.add_argument("--case", help="only cases with these words in their title")
    parser.add_argument("--list", action="store_true", help="name the cases and play none")
    asked = parser.parse_args()
    scripts = [
        script
        for script in SCRIPTS
        if (not asked.table or script.table in asked.table) and (asked.case or "") in script.title
    ]
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
    if asked.list or not scripts:
        for script in scripts:
            console.print(f"{script.table}: {script.title}")
        return 0 if scripts else 2
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    home = repository(Path.cwd()) / ".demo"
    home.mkdir(exist_ok=True)
    stack = Stack.at(home)
    try:
        stack.reset()
        outcomes, seconds = asyncio.run(_run(stack, scripts, console))
    except (StackError, SluiceError, TooBusy) as failed:
        console.print(f"The cases did not come to their end: {failed}", markup=False)
        console.print(f"What the processes wrote is in {stack.layout.logs}.")
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything is being stopped.")
        return 130
    finally:
        with suppress(StackError):
            stack.stop()
    return _tell(console, outcomes, seconds)


async def _run(stack: Stack, scripts: Sequence[Script], console: Console) -> tuple[list[Outcome], float]:
    """Start everything with a clock that can be set, and play all scripts on it."""
    progress = Progress(sys.stdout)
    stack.start(services=False, prepare=True, progress=progress, attached=True)
    async with AsyncExitStack() as exits:
        conn, looking = [
            await exits.enter_async_context(traces.database(stack.addresses.postgres_admin_url)) for _ in range(2)
        ]
        await clocks.install(conn, SERVICES)
        movable = MovableClock(conn)
        await movable.set(min(script.start for script in scripts))
        env = QUICK | _senders(stack.addresses.sink_smtp)
        stack.start(services=True, prepare=False, senders=2, env=env, progress=progress)
        async with Sluice(stack.addresses.kafka, actor="cases", seconds_max=60.0) as sluice:
            stage = Stage(
                stack=stack,
                sluice=sluice,
                asker=Asker(sluice.transport, source="cases", actor="cases"),
                clock=movable,
                quiet=Quiet(looking, sluice, SERVICES, period_seconds=PERIOD_SECONDS),
                seen=Seen(),
            )
            console.print(f"playing {len(scripts)} cases", highlight=False)
            began = monotonic()
            outcomes = await _play(stage, scripts)
            await stage.asker.stop()
            return outcomes, monotonic() - began


def _senders(smtp: str) -> dict[str, str]:
    """Named senders for the cases that suspend or slow down one."""
    host, _, port = smtp.rpartition(":")
    account = {"channel": "email", "host": host, "port": int(port), "from": "sender@example.org"}
    return {
        "SLUICE_SENDERS": json.dumps(dict.fromkeys(SENDERS, account)),
        "SLUICE_RATES": json.dumps({f"email:{name}": 1 / PERIOD_SECONDS for name in SLOW}),
    }


async def _play(stage: Stage, scripts: Sequence[Script]) -> list[Outcome]:
    async with stage.sluice.events(*TOPICS) as stream:
        stage.seen.begin(stream)
        cases = [asyncio.create_task(_play_one(stage, script)) for script in scripts]
        stage.busy = len(cases)
        try:
            await stage.go(cases)
            return [await case for case in cases]
        finally:
            for case in cases:
                case.cancel()
            await asyncio.gather(*cases, return_exceptions=True)
            await stage.seen.end()


async def _play_one(stage: Stage, script: Script) -> Outcome:
    case = Case(stage, f"c{new_id()[:8]}", script.start)
    fault = ""
    try:
        await stage.until(script.start)
        case.start = _minute(await stage.clock.now())
        await script.play(case)
        await case.settled()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
    finally:
        stage.busy -= 1
    return script, {what: case.line(what) for what in script.expected}, fault


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _tell(console: Console, outcomes: Sequence[Outcome], seconds: float) -> int:
    """Print the tables, and at the end what differs; 0 where nothing does."""
    wrong: list[str] = []
    for name in dict.fromkeys(script.table for script, _, _ in outcomes):
        table = Table(title=f"\n{name}", title_justify="left", show_lines=True)
        for column in ("case", "expected", "seen", ""):
            table.add_column(column, overflow="fold")
        for script, seen, fault in outcomes:
            if script.table == name:
                holds = not fault and script.allows(seen)
                if not holds:
                    wrong.append(f"{name}: {script.title}: expected {dict(script.expected)}, seen {fault or seen}")
                verdict = "[green]ok[/green]" if holds else "[red]DIFFERS[/red]"
                table.add_row(script.title, _lines(script.expected), fault or _lines(seen), verdict)
        console.print(table)
    for told in wrong:
        console.print(told, markup=False)
    console.print(f"{len(outcomes)} cases in {seconds:.0f} s, {len(wrong)} of them not as expected.")
    return 1 if wrong else 0


def _lines(told: object) -> str:
    assert isinstance(told, dict)
    return "\n".join(f"{what}: {line}" for what, line in told.items())


if __name__ == "__main__":
    sys.exit(main())
