"""`make bench-books`: the books of every sequence, asked a thousand times while 100,000 contacts run through them.

Each asking reads the books and counts the rows in one snapshot of the database: the two are the same, and the books are
closed, whatever goes on meanwhile: imports, sends, pauses and resumes of every kind, edits, removals, a sender killed
with -9, a deletion. (What is dropped leaves no row: its number is what closes the books.)
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import orjson
from chassis.clock import monotonic, sleep
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from rich.table import Table
from sluice import Sluice
from sluice_contracts import topics
from sluice_contracts.delivery import MessagesCounted
from testkit.checker.invariants.books import PLACES

from benchmarks import counting, machine, workload
from benchmarks.arena import BenchmarkFailed, database, run, scale, terminal

SEQUENCES: Final = 4
SENDERS: Final = 2
STEPS: Final = 3
ASK_REST_SECONDS: Final = 0.05
"""So that the thousand are asked over the whole run."""
VICTIM: Final = "sender-1"
MISHAPS_SECONDS: Final = 0.4
"""How soon after one thing the next one happens."""
RUN_SECONDS_MAX: Final = 600.0
DELETED: Final = 1

# What waits for its provider's word is booked as unknown: it is neither pending nor claimed.
_COUNTED: Final = """
select sequence_id, count(*) filter (where token is null and lane is distinct from 'unknown:')::bigint as pending,
    count(token)::bigint as claimed
from delivery.pending where sequence_id = any($1::text[]) group by sequence_id
"""
_ENDED: Final = """
select sequence_id, outcome, count(*)::bigint from delivery.message where sequence_id = any($1::text[])
group by sequence_id, outcome
"""
_LIVING: Final = "select sequence_id from delivery.gate where sequence_id = any($1::text[])"
_ERASING: Final = "select sequence_id from delivery.erasure"


@dataclass(slots=True)
class Result:
    """What was asked, and what was wrong."""

    contacts: int
    asks: int
    machine: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    recounted: int = 0
    wrong: list[str] = field(default_factory=list)
    told: int = 0
    happened: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.wrong and self.asked >= self.asks

    def note(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1


@dataclass(slots=True)
class Books:
    """One run on one stack."""

    stack: Stack
    console: Console
    result: Result

    async def measure(self) -> bool:
        """Run, ask, and compare; whether every answer was right."""
        began = monotonic()
        names = [f"books-{number}" for number in range(SEQUENCES)]
        async with Sluice(self.stack.addresses.kafka) as sluice, database(self.stack) as conn:
            self.result.machine = await machine.described(conn)
            ids = workload.contact_ids(self.result.contacts)
            await workload.write_contacts(sluice, conn, ids, seconds_max=RUN_SECONDS_MAX)
            for name in names:
                await sluice.save(name, _definition(STEPS))
                await sluice.publish(name)
            await scale(self.stack, SENDERS)
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                mishaps = group.create_task(self._mishaps(sluice, names, ids, over))
                group.create_task(self._ask(names, over))
                await self._enroll(sluice, names, ids)
                await over.wait()
                await mishaps
            await self._told(sluice)
        self.result.seconds = monotonic() - began
        return self.result.holds

    async def _enroll(self, sluice: Sluice, names: list[str], ids: list[str]) -> None:
        """Every sequence gets a share of the contacts, at once."""
        shares = [ids[number::SEQUENCES] for number in range(SEQUENCES)]
        async with asyncio.TaskGroup() as group:
            for name, share in zip(names, shares, strict=True):
                group.create_task(workload.enroll(sluice, name, share, told=lambda _: None))
        self.console.print(f"  {len(ids):,} contacts are in, {self.result.asked} times asked")

    async def _ask(self, names: list[str], over: asyncio.Event) -> None:
        """Ask until it has been often enough; the rows of the history are counted every tenth time."""
        deadline = monotonic() + RUN_SECONDS_MAX
        async with database(self.stack) as conn:
            while self.result.asked < self.result.asks and not self.result.wrong:
                if monotonic() > deadline:
                    raise BenchmarkFailed(f"only {self.result.asked} askings within {RUN_SECONDS_MAX:.0f} s")
                await self._compare(conn, names, history=self.result.asked % 10 == 0)
                self.result.asked += 1
                await sleep(ASK_REST_SECONDS)
        over.set()

    async def _compare(self, conn: Conn, names: list[str], *, history: bool) -> None:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            erasing = {row[0] for row in await conn.fetch(_ERASING)}
            living = [row[0] for row in await conn.fetch(_LIVING, names) if row[0] not in erasing]
            rows = {name: dict.fromkeys(PLACES, 0) for name in living}
            for name, pending, claimed in await conn.fetch(_COUNTED, living):
                rows[name] |= {"pending": pending, "claimed": claimed}
            for name, outcome, count in await conn.fetch(_ENDED, living) if history else ():
                rows[name][outcome] = count
            books = {name: await counting.books(conn, name) for name in living}
        self.result.recounted += history
        for name, book in books.items():
            if not counting.closed(book):
                self.result.wrong.append(f"{name} is not closed: {book}")
            seen = [place for place in PLACES if place != "dropped"] if history else ["pending", "claimed"]
            if any(book[place] != rows[name][place] for place in seen):
                self.result.wrong.append(f"{name}: the books say {book}, the rows {rows[name]}")

    async def _mishaps(self, sluice: Sluice, names: list[str], ids: list[str], over: asyncio.Event) -> None:
        """One thing after the other, until the asking is over; then one sequence is deleted."""
        happenings = cycle(self._happenings(sluice, names, ids))
        while not over.is_set():
            what, happen = next(happenings)
            await happen()
            self.result.note(what)
            await sleep(MISHAPS_SECONDS)
        await sluice.delete(names[DELETED])

    def _happenings(
        self, sluice: Sluice, names: list[str], ids: list[str]
    ) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
        removed = iter(ids[::97])

        async def paused(name: str, **how: Any) -> None:
            await sluice.pause(name, wait="stopped")
            await sleep(MISHAPS_SECONDS)
            await sluice.resume(name, **how)

        async def edited(name: str, steps: int) -> None:
            await sluice.save(name, _definition(steps))
            await sluice.publish(name)

        async def remove_some() -> None:
            some = [next(removed, None) for _ in range(20)]
            await asyncio.gather(*(sluice.remove(one) for one in some if one is not None))

        async def kill() -> None:
            while not any(one.name == VICTIM and one.state == "ready" for one in self.stack.processes()):
                await sleep(MISHAPS_SECONDS)  # it is being started again, later with each time
            await asyncio.to_thread(self.stack.kill, VICTIM, signal.SIGKILL)

        return [
            ("pause, resume with shift", partial(paused, names[0])),
            ("removals", remove_some),
            ("edit: a step more", partial(edited, names[2], STEPS + 1)),
            ("pause, resume with send_now", partial(paused, names[3], overdue="send_now")),
            ("edit: steps fewer", partial(edited, names[2], STEPS - 1)),
            ("kill -9 of a sender", kill),
            ("pause, resume with skip", partial(paused, names[1], overdue="skip")),
        ]

    async def _told(self, sluice: Sluice) -> None:
        """What was told on delivery.books is closed as well."""
        async for batch in sluice.transport.read_to_end(topics.DELIVERY_BOOKS):
            for record in batch:
                if record.value is None:
                    continue
                told = MessagesCounted.model_validate_json(_data(record.value)).model_dump()
                self.result.told += 1
                if not counting.closed(told):
                    self.result.wrong.append(f"told books are not closed: {told}")


def _definition(steps: int) -> dict[str, Any]:
    message = {"channel": "email", "subject": "Step", "text": "Hi {{ contact.first_name }}."}
    return {
        "name": "Books",
        "steps": [
            {"step_id": f"step-{number}", "after": "1s" if number else "0s", "message": message}
            for number in range(steps)
        ],
    }


def _data(value: bytes) -> bytes:
    return orjson.dumps(orjson.loads(value)["data"])


def show(result: Result, console: Console) -> None:
    """The table at the end."""
    table = Table(title="The books, asked while everything goes on", title_justify="left")
    table.add_column("what")
    table.add_column("how often", justify="right")
    table.add_row("asked, closed, and pending and claimed as the rows are", f"{result.asked:,}")
    table.add_row("… of these with sent, failed, expired and unknown recounted", f"{result.recounted:,}")
    table.add_row("told on delivery.books, and closed", f"{result.told:,}")
    for what, count in result.happened.items():
        table.add_row(f"meanwhile: {what}", f"{count:,}")
    console.print(table)
    for wrong in result.wrong:
        console.print(f"[red]wrong:[/red] {wrong}")
    console.print(
        f"{len(result.wrong)} answers were wrong; {machine.in_words(result.machine)}; everything on this machine; "
        f"{result.seconds:.0f} s in all"
    )


def main() -> int:
    """0 where every answer was right."""
    parser = argparse.ArgumentParser(prog="make bench-books ARGS=…", description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000, help="how many are enrolled (100,000)")
    parser.add_argument("--asks", type=int, default=1_000, help="how often the books are asked (1,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    asked = parser.parse_args()
    console = terminal()
    result = Result(asked.contacts, asked.asks)

    async def measure(stack: Stack) -> bool:
        return await Books(stack, console, result).measure()

    code = run("books", console, measure)
    if result.seconds:
        show(result, console)
        if asked.json is not None:
            asked.json.write_text(json.dumps(asdict(result) | {"holds": result.holds}, indent=1) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
