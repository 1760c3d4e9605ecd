"""`python -m tests.races`: 10,000 removals against claims, with pauses and suspensions, on a Postgres of its own."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table
from testkit.stack import Servers, servers

from tests.pump.database import database
from tests.races.arena import Arena
from tests.races.race import Report, race
from tests.races.sabotage import KINDS, sabotage

ROLES = Path(__file__).parents[2] / "deploy/postgres/roles.sql"
SHOWN_MAX = 10


async def run(running: Servers, *, removals: int, roles: str) -> Report:
    """Race on a database of its own."""
    async with database(running, roles=roles, connections_max=40) as opened:
        return await race(Arena(opened.pools["delivery"]), removals=removals)


def main() -> int:
    """0 where every promise held, 1 where one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.races", description=__doc__)
    parser.add_argument("--removals", type=int, default=10_000)
    parser.add_argument("--sabotage", choices=KINDS, help="; ".join(f"{kind}: {what}" for kind, what in KINDS.items()))
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with servers() as running, sabotage(asked.sabotage):
        report = asyncio.run(run(running, removals=asked.removals, roles=ROLES.read_text()))
    return show(report)


def show(report: Report) -> int:
    """The table, what broke, and the exit code."""
    console = Console()
    table = Table("removals, pauses and suspensions against claims", "seen")
    for name, seen in report.rows():
        table.add_row(name, seen)
    console.print(table)
    for sentence in report.broken[:SHOWN_MAX]:
        console.print(f"[red]{sentence}[/red]")
    console.print("[red]BROKEN[/red]" if report.broken else "[green]every receipt is true, and adds up[/green]")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
