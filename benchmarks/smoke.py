"""`make bench-smoke`: 100,000 contacts in by import, all first messages out to a null channel: rates and memory."""

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from chassis.clock import monotonic, sleep
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sluice import Sluice

from benchmarks import counting, machine, raw, workload
from benchmarks.arena import database, run, scale, terminal, until
from benchmarks.counting import Check

SEQUENCE: Final = "bench-smoke"
MEMORY_MB_MAX: Final = 300.0
SECONDS_MAX: Final = 600.0
REST_SECONDS: Final = 5

_LAST_SENT: Final = "select max(ended_at) from delivery.message where sequence_id = $1"


@dataclass(slots=True)
class Result:
    """What was measured; rates in contacts or messages a second."""

    contacts: int
    console: bool = True
    """Whether the console was there, and read along."""
    machine: dict[str, Any] = field(default_factory=dict)
    contacts_heard: float = 0.0
    imported: float = 0.0
    imported_and_planned: float = 0.0
    sent: float = 0.0
    sent_and_published: float = 0.0
    raw_imports: list[float] = field(default_factory=list)
    raw_sends: list[float] = field(default_factory=list)
    at_rest: dict[str, float] = field(default_factory=dict)
    """Processor time in µs per second while nothing is asked of them, by process."""
    import_microseconds: dict[str, float] = field(default_factory=dict)
    """Processor time per contact, by process, until delivery has planned it and every event is published."""
    send_microseconds: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    restarted: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return (
            all(check.holds for check in self.checks)
            and all(peak < MEMORY_MB_MAX for peak in self.peak_mb.values())
            and bool(self.peak_mb)
            and not self.restarted
        )


@dataclass(slots=True)
class Smoke:
    """One run on one stack."""

    stack: Stack
    console: Console
    result: Result

    async def measure(self) -> bool:
        """Everything, with the yardstick before and after Sluice; whether all of it holds."""
        began, result = monotonic(), self.result
        async with Sluice(self.stack.addresses.kafka) as sluice, database(self.stack) as conn:
            result.machine = await machine.described(conn)
            ids = workload.contact_ids(result.contacts)
            self._act("Preparing: the sequence, the contacts, the yardstick's tables and event bytes")
            await raw.prepare(self.stack)
            await workload.publish(sluice, conn, SEQUENCE)
            started = monotonic()
            await workload.write_contacts(sluice, conn, ids, seconds_max=SECONDS_MAX)
            result.contacts_heard = result.contacts / (monotonic() - started)
            await conn.execute("vacuum analyze")
            await self._rest()
            await self._raw_imports(ids)
            await self._imports(sluice, conn, ids)
            await self._raw_imports(ids)
            await self._raw_sends(ids)
            await self._sends(sluice, conn)
            await self._raw_sends(ids)
            self._act("Counting")
            result.checks = await counting.first_messages(sluice, conn, SEQUENCE, result.contacts)
        result.peak_mb = machine.service_peaks(self.stack)
        result.restarted = machine.restarted(self.stack)
        result.seconds = monotonic() - began
        return result.holds

    async def _rest(self) -> None:
        self._act("At rest")
        before = machine.processor_seconds(self.stack)
        await sleep(REST_SECONDS)
        self.result.at_rest = machine.used_per_unit(before, machine.processor_seconds(self.stack), REST_SECONDS)

    async def _imports(self, sluice: Sluice, conn: Conn, ids: list[str]) -> None:
        self._act("Sluice: imports of 1,000")
        with Progress(console=self.console, transient=True) as progress:
            task = progress.add_task("enrolled", total=len(ids))
            before = machine.processor_seconds(self.stack)
            started = monotonic()
            await workload.enroll(sluice, SEQUENCE, ids, told=lambda entered: progress.update(task, completed=entered))
            self.result.imported = len(ids) / (monotonic() - started)

            async def planned() -> bool:
                return (await counting.books(conn, SEQUENCE))["pending"] >= len(ids)

            await until("every enrollment is in delivery's queue", planned, seconds_max=SECONDS_MAX)
            self.result.imported_and_planned = len(ids) / (monotonic() - started)
        await self._published(conn)
        after = machine.processor_seconds(self.stack)
        self.result.import_microseconds = machine.used_per_unit(before, after, len(ids))
        self._fact(f"{self.result.imported:,.0f} contacts/s enrolled and answered")

    async def _sends(self, sluice: Sluice, conn: Conn) -> None:
        """The sender is there and everything is due before the clock starts: the gate is what holds it back."""
        self._act("Sluice: all first messages, one sender, null channel")
        await sluice.pause(SEQUENCE, wait="stopped")
        await scale(self.stack, 1)
        contacts = self.result.contacts
        with Progress(console=self.console, transient=True) as progress:
            task = progress.add_task("sent", total=contacts)

            async def sent() -> bool:
                count = (await counting.books(conn, SEQUENCE))["sent"]
                progress.update(task, completed=count)
                return count >= contacts

            before = machine.processor_seconds(self.stack)
            resumed_at = await conn.fetchval("select clock_timestamp()")
            started = monotonic()
            await sluice.resume(SEQUENCE)
            await until("every first message is sent", sent, seconds_max=SECONDS_MAX)
            last = await conn.fetchval(_LAST_SENT, SEQUENCE)
            self.result.sent = contacts / (last - resumed_at).total_seconds()
            await self._published(conn)
            self.result.sent_and_published = contacts / (monotonic() - started)
        after = machine.processor_seconds(self.stack)
        self.result.send_microseconds = machine.used_per_unit(before, after, contacts)
        self._fact(f"{self.result.sent:,.0f} messages/s claimed, sent and booked")

    async def _raw_imports(self, ids: list[str]) -> None:
        self._act("Yardstick: the rows of the imports")
        self.result.raw_imports.append(await raw.imports(self.stack, ids, knowing=True))
        self._fact(f"{self.result.raw_imports[-1]:,.0f} contacts/s")

    async def _raw_sends(self, ids: list[str]) -> None:
        self._act("Yardstick: the rows of the sends")
        self.result.raw_sends.append(await raw.sends(self.stack, ids))
        self._fact(f"{self.result.raw_sends[-1]:,.0f} messages/s")

    async def _published(self, conn: Conn) -> None:
        async def nothing_waits() -> bool:
            return await counting.unpublished(conn) == 0

        await until("every event is published", nothing_waits, seconds_max=SECONDS_MAX)

    def _act(self, title: str) -> None:
        self.console.print(f"[bold]{title}[/bold]")

    def _fact(self, text: str) -> None:
        self.console.print(f"  {text}")


def show(result: Result, console: Console) -> None:
    """The tables at the end."""
    console.print()
    console.print(_rates(result))
    console.print(_processor(result))
    console.print(_memory(result))
    console.print(_counts(result))
    if result.restarted:
        console.print(f"[red]restarted while measuring: {', '.join(result.restarted)}[/red]")
    console.print(f"{machine.in_words(result.machine)}; everything on this machine; {result.seconds:.0f} s in all")


def _rates(result: Result) -> Table:
    table = Table(title=f"Rates with {result.contacts:,} contacts, per second", title_justify="left")
    for name in ("what", "Sluice", "raw loop, twice", "ratio"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for what, own, others in (
        ("import, to the last answer", result.imported, result.raw_imports),
        ("import, until all is planned", result.imported_and_planned, []),
        ("sends, to the last one booked", result.sent, result.raw_sends),
        ("sends, until all is published", result.sent_and_published, []),
        ("contacts heard everywhere", result.contacts_heard, []),
    ):
        mean = sum(others) / len(others) if others else 0.0
        ratio = f"{own / mean:.2f}" if mean else ""
        table.add_row(what, f"{own:,.0f}", " / ".join(f"{one:,.0f}" for one in others), ratio)
    return table


def _processor(result: Result) -> Table:
    """Unlike the rates it hardly depends on what else runs on the machine."""
    table = Table(title="Processor time, in µs per contact or message", title_justify="left")
    table.add_column("process")
    for name in ("import", "sends", "at rest, % of a core"):
        table.add_column(name, justify="right")
    imports, sends, rest = result.import_microseconds, result.send_microseconds, result.at_rest
    for name in dict.fromkeys([*imports, *sends, *rest]):
        row = f"{imports.get(name, 0.0):.0f}", f"{sends.get(name, 0.0):.0f}", f"{rest.get(name, 0.0) / 1e4:.1f}"
        table.add_row(name, *row)
    total = f"{sum(imports.values()):.0f}", f"{sum(sends.values()):.0f}", f"{sum(rest.values()) / 1e4:.1f}"
    table.add_row("all", *total, style="bold")
    return table


def _memory(result: Result) -> Table:
    table = Table(title=f"Peak memory of each service process, under {MEMORY_MB_MAX:.0f} MB", title_justify="left")
    table.add_column("process")
    table.add_column("MB", justify="right")
    table.add_column("")
    for name, peak in result.peak_mb.items():
        table.add_row(name, f"{peak:.0f}", _verdict(peak < MEMORY_MB_MAX, "too much"))
    return table


def _counts(result: Result) -> Table:
    table = Table(title="Counted afterwards", title_justify="left")
    for name in ("what", "counted", "wanted"):
        table.add_column(name, justify="left" if name == "what" else "right")
    table.add_column("")
    for check in result.checks:
        table.add_row(check.what, f"{check.counted:,}", f"{check.wanted:,}", _verdict(check.holds, "WRONG"))
    return table


def _verdict(holds: bool, otherwise: str) -> str:
    return "[green]ok[/]" if holds else f"[red]{otherwise}[/]"


def main() -> int:
    """Run it; 0 where all counts add up and no process took too much memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smoke", description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000, metavar="N", help="how many (default: 100,000)")
    parser.add_argument("--without-console", action="store_true", help="leave the console out, which reads everything")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    asked = parser.parse_args()
    if asked.contacts < 1:
        parser.error("--contacts must be at least 1")
    console = terminal()
    result = Result(asked.contacts, console=not asked.without_console)
    measure = partial(_measured, console=console, result=result)
    code = run("smoke", console, measure, without=() if result.console else ("console",))
    if result.checks:
        show(result, console)
        if asked.json is not None:
            asked.json.write_text(json.dumps(asdict(result) | {"holds": result.holds}, indent=1) + "\n")
    return code


async def _measured(stack: Stack, *, console: Console, result: Result) -> bool:
    return await Smoke(stack, console, result).measure()


if __name__ == "__main__":
    sys.exit(main())
