"""`make bench-fair`: a small sequence's due message leaves within a second while a million of another wait."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from chassis.clock import monotonic, sleep
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from rich.table import Table
from sluice import Sluice

from benchmarks import counting, filling, machine, workload
from benchmarks.arena import database, run, scale, terminal, until

BIG: Final = "bench-big"
SMALL: Final = "bench-small"
WAIT_SECONDS_MAX: Final = 1.0
EVERY_SECONDS: Final = 0.1
HEAD_START_SECONDS: Final = 5.0
"""The senders are at work on the large sequence before the first of the small one is due."""
WORK_SECONDS_MAX: Final = 120.0

_WAITS: Final = """
select extract(epoch from ended_at - due_at)::float8 from delivery.message
where sequence_id = $1 and step_id = $2 order by due_at
"""
_SENT_BETWEEN: Final = """
select count(*) from delivery.message where sequence_id = $1 and ended_at between $2 and $3
"""

_LEFT: Final = "select count(*) from delivery.pending where sequence_id = $1 and step_id = $2"


@dataclass(slots=True)
class Result:
    """What was measured."""

    many: int
    few: int
    per_second: float
    senders: int
    machine: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    big_rate: float = 0.0
    big_left: int = 0
    seconds: float = 0.0

    @property
    def worst(self) -> float:
        return max(self.waits, default=float("inf"))

    @property
    def holds(self) -> bool:
        return len(self.waits) == self.few and self.worst < WAIT_SECONDS_MAX and self.big_left > 0


@dataclass(slots=True)
class Benchmark:
    """One run on one stack."""

    stack: Stack
    console: Console
    result: Result

    async def measure(self) -> bool:
        """Fill, let the senders at it, and see how long the small one's messages wait."""
        began, result = monotonic(), self.result
        async with Sluice(self.stack.addresses.kafka) as sluice, database(self.stack) as conn:
            result.machine = await machine.described(conn)
            for sequence_id in (BIG, SMALL):
                await workload.publish(sluice, conn, sequence_id)
            await filling.by_insert(conn, {BIG: result.many}, console=self.console)
            await filling.settle(conn)
            await scale(self.stack, result.senders)
            await self._at_work(conn)
            await self._trickle(conn)
        result.seconds = monotonic() - began
        return result.holds

    async def _at_work(self, conn: Conn) -> None:
        async def sends() -> bool:
            return (await counting.books(conn, BIG))["sent"] > 0

        await until("the senders are at work", sends, seconds_max=WORK_SECONDS_MAX)

    async def _trickle(self, conn: Conn) -> None:
        """Messages of the small one become due, one every tenth of a second."""
        result = self.result
        first, last = await filling.trickle(
            conn, SMALL, result.few, every_seconds=EVERY_SECONDS, after_seconds=HEAD_START_SECONDS
        )
        self.console.print(f"  {result.few:,} messages of {SMALL} become due, one every {EVERY_SECONDS} s")
        await sleep(HEAD_START_SECONDS + result.few * EVERY_SECONDS)

        async def all_sent() -> bool:
            return await counting.messages(conn, SMALL) >= result.few

        await until("every message of the small one is sent", all_sent, seconds_max=WORK_SECONDS_MAX)
        result.waits = [row[0] for row in await conn.fetch(_WAITS, SMALL, workload.FIRST_STEP)]
        meanwhile = await conn.fetchval(_SENT_BETWEEN, BIG, first, last)
        result.big_rate = meanwhile / (last - first).total_seconds()
        result.big_left = await conn.fetchval(_LEFT, BIG, workload.FIRST_STEP)


def show(result: Result, console: Console) -> None:
    """The table and the verdict."""
    waits = sorted(result.waits)
    table = Table(title="Seconds from due to sent, of the small sequence's messages", title_justify="left")
    for name in ("messages", "p50", "p95", "max", "beside them, of the large one"):
        table.add_column(name, justify="right")
    table.add_row(
        f"{len(waits):,}",
        f"{median(waits):.3f}",
        f"{waits[int(0.95 * (len(waits) - 1))]:.3f}",
        f"{waits[-1]:.3f}",
        f"{result.big_rate:,.0f}/s, {result.big_left:,} still wait",
    )
    console.print()
    console.print(table)
    pace = f"a rate of {result.per_second:g} per second" if result.per_second else "no rate"
    colour = "green" if result.holds else "red"
    console.print(
        f"[{colour}]{'within' if result.holds else 'NOT within'} {WAIT_SECONDS_MAX:g} s[/] with {pace}, "
        f"{result.senders} senders, {result.many:,} due in the large one; {machine.in_words(result.machine)}; "
        f"everything on this machine; {result.seconds:.0f} s in all"
    )


def main() -> int:
    """Run it; 0 where no message of the small sequence waited for a second."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fair", description=__doc__)
    parser.add_argument("--many", type=int, default=1_000_000, metavar="N", help="due in the large one (1,000,000)")
    parser.add_argument("--few", type=int, default=200, metavar="N", help="of the small one, ten a second (200)")
    parser.add_argument("--rate", type=float, default=200.0, metavar="R", help="sends per second; 0: none (200)")
    parser.add_argument("--senders", type=int, default=2, metavar="N", help="sender processes (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    asked = parser.parse_args()
    if min(asked.many, asked.few - 1, asked.senders) < 1 or asked.rate < 0:
        parser.error("--many and --senders must be at least 1, --few at least 2, --rate not below 0")
    console = terminal()
    result = Result(asked.many, asked.few, asked.rate, asked.senders)
    env = {"SLUICE_RATES": json.dumps({"email": asked.rate})} if asked.rate else {}
    code = run("fair", console, partial(_measured, console=console, result=result), env=env)
    if result.waits:
        show(result, console)
        if asked.json is not None:
            asked.json.write_text(json.dumps(asdict(result) | {"holds": result.holds}, indent=1) + "\n")
    return code


async def _measured(stack: Stack, *, console: Console, result: Result) -> bool:
    return await Benchmark(stack, console, result).measure()


if __name__ == "__main__":
    sys.exit(main())
