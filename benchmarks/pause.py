"""`make bench-pause`: pausing a million pending sends takes no longer than a thousand, and the receipt is true."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from chassis.clock import monotonic, new_id, sleep, utc_now
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from rich.table import Table
from sluice import Event, EventStream, Sluice
from sluice_contracts import topics
from sluice_contracts.base import parse_timestamp
from sluice_contracts.envelope import Envelope, encode
from sluice_contracts.sequences import PauseSequence

from benchmarks import counting, filling, machine, workload
from benchmarks.arena import BenchmarkFailed, database, run, scale, terminal, until

RATIO_MAX: Final = 1.5
SECONDS_MAX: Final = 60.0
WATCHED_SECONDS: Final = 3.0
IN_FLIGHT_SENT_MIN: Final = 1_000
WORK_SECONDS_MAX: Final = 180.0

_LAST_END: Final = "select max(ended_at) from delivery.message where sequence_id = $1"


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause: how long it took, and what its receipt says beside what was counted."""

    sequence_id: str
    milliseconds: float
    dropped: int
    counted: int
    in_flight: int
    sent_before: int
    sent_after: int
    last_before_halt: bool = True
    """No message ended after `halted_at`."""

    @property
    def exact(self) -> bool:
        return self.counted == self.dropped

    @property
    def true(self) -> bool:
        return self.exact and self.sent_after == self.sent_before and self.last_before_halt


@dataclass(slots=True)
class Result:
    """What was measured."""

    few: int
    many: int
    rounds: int
    filled: str
    machine: dict[str, Any] = field(default_factory=dict)
    filling_seconds: float = 0.0
    with_few: list[Pause] = field(default_factory=list)
    with_many: list[Pause] = field(default_factory=list)
    while_sending: list[Pause] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def few_median(self) -> float:
        return median(one.milliseconds for one in self.with_few)

    @property
    def many_median(self) -> float:
        return median(one.milliseconds for one in self.with_many)

    @property
    def ratio(self) -> float:
        return self.many_median / self.few_median

    @property
    def complete(self) -> bool:
        return len(self.with_few) == len(self.with_many) == self.rounds and bool(self.while_sending)

    @property
    def holds(self) -> bool:
        pauses = [*self.with_few, *self.with_many, *self.while_sending]
        return self.complete and self.ratio <= RATIO_MAX and all(one.true for one in pauses)


@dataclass(slots=True)
class Benchmark:
    """One run on one stack."""

    stack: Stack
    console: Console
    result: Result

    async def measure(self) -> bool:
        """Fill, pause by turns, and once in the midst of sending; whether all of it holds."""
        began, result = monotonic(), self.result
        few, many = "bench-few", "bench-many"
        async with (
            Sluice(self.stack.addresses.kafka) as sluice,
            database(self.stack) as conn,
            sluice.events(topics.SEQUENCES_EVENTS) as stream,
        ):
            result.machine = await machine.described(conn)
            await self._fill(sluice, conn, {few: result.few, many: result.many})
            for number in range(result.rounds + 1):
                pauses = await self._round(sluice, conn, stream, (few, many) if number % 2 else (many, few))
                self._tell(f"round {number}" if number else "to warm up", pauses)
                if number:
                    result.with_few += [one for one in pauses if one.sequence_id == few]
                    result.with_many += [one for one in pauses if one.sequence_id == many]
            result.while_sending.append(await self._amid_sending(sluice, conn, stream, many))
            self._tell("while sending", result.while_sending)
        result.seconds = monotonic() - began
        return result.holds

    async def _fill(self, sluice: Sluice, conn: Conn, counts: dict[str, int]) -> None:
        """No sender runs, so all of it stays pending, and all of it is due."""
        for sequence_id in counts:
            await workload.publish(sluice, conn, sequence_id)
        started = monotonic()
        if self.result.filled == "import":
            await filling.by_import(sluice, conn, counts, console=self.console)
        else:
            await filling.by_insert(conn, counts, console=self.console)
        await filling.settle(conn)
        self.result.filling_seconds = monotonic() - started

    async def _round(self, sluice: Sluice, conn: Conn, stream: EventStream, order: Sequence[str]) -> list[Pause]:
        """Pause both, count, watch a sender find nothing, and resume both."""
        stopped = [(sequence_id, *await _stop(sluice, stream, sequence_id)) for sequence_id in order]
        counts = [(await counting.pending(conn, one[0]), await counting.messages(conn, one[0])) for one in stopped]
        await scale(self.stack, 1)
        await sleep(WATCHED_SECONDS)
        after = [await counting.messages(conn, one[0]) for one in stopped]
        await scale(self.stack, 0)
        pauses = [
            _pause(sequence_id, seconds, receipts, counted=counted, sent_before=sent, sent_after=sent_after)
            for (sequence_id, seconds, receipts), (counted, sent), sent_after in zip(
                stopped, counts, after, strict=True
            )
        ]
        for sequence_id in order:
            await sluice.resume(sequence_id, wait="resumed")
        return pauses

    async def _amid_sending(self, sluice: Sluice, conn: Conn, stream: EventStream, sequence_id: str) -> Pause:
        """Pause once more, with a sender at work on all that is due."""
        await scale(self.stack, 1)

        async def sends() -> bool:
            return (await counting.books(conn, sequence_id))["sent"] >= min(IN_FLIGHT_SENT_MIN, self.result.many // 10)

        await until("the sender is at work", sends, seconds_max=WORK_SECONDS_MAX, poll_seconds=0.02)
        seconds, receipts = await _stop(sluice, stream, sequence_id)
        counted, sent = await counting.pending(conn, sequence_id), await counting.messages(conn, sequence_id)
        await sleep(WATCHED_SECONDS)
        last = await conn.fetchval(_LAST_END, sequence_id)
        return _pause(
            sequence_id,
            seconds,
            receipts,
            counted=counted,
            sent_before=sent,
            sent_after=await counting.messages(conn, sequence_id),
            last_before_halt=last <= parse_timestamp(receipts["halted_at"]),
        )

    def _tell(self, what: str, pauses: Sequence[Pause]) -> None:
        for one in pauses:
            self.console.print(
                f"  {what:<13} {one.dropped:>9,} pending: {one.milliseconds:7.1f} ms  "
                f"[{'green' if one.true else 'red'}]{'receipt true' if one.true else 'RECEIPT WRONG'}[/]"
            )


async def _stop(sluice: Sluice, stream: EventStream, sequence_id: str) -> tuple[float, dict[str, Any]]:
    """Seconds from handing the command over to reading SequenceStopped, and the receipts in it."""
    command = PauseSequence(sequence_id=sequence_id, reason="benchmark")
    envelope = Envelope(
        id=new_id(), source="benchmark", type=command.TYPE, subject=sequence_id, time=utc_now(), actor="benchmark"
    )
    value = encode(envelope, command.to_json())
    async with asyncio.timeout(SECONDS_MAX):
        started = monotonic()
        await sluice.transport.send(command.TOPIC, key=sequence_id, value=value)
        async for event in stream:
            if _is_stopped(event, sequence_id, after=envelope.id):
                return monotonic() - started, dict(event.data["receipts"])
    raise BenchmarkFailed(f"{sequence_id}: the stream of events ended before SequenceStopped")


def _is_stopped(event: Event, sequence_id: str, *, after: str) -> bool:
    return event.key == sequence_id and event.name == "SequenceStopped" and event.correlation_id == after


def _pause(sequence_id: str, seconds: float, receipts: dict[str, Any], **counted: Any) -> Pause:
    return Pause(
        sequence_id=sequence_id,
        milliseconds=round(seconds * 1000, 1),
        dropped=receipts["dropped"],
        in_flight=receipts["in_flight"],
        **counted,
    )


def show(result: Result, console: Console) -> None:
    """The table and the verdict at the end."""
    table = Table(title="ms from the command to SequenceStopped; the receipt; sends after it", title_justify="left")
    for name in ("pending", "median", "min", "max", "dropped", "in flight", "counted", "after"):
        table.add_column(name, justify="right")
    for what, pauses in (
        (f"{result.few:,}", result.with_few),
        (f"{result.many:,}", result.with_many),
        ("amid work", result.while_sending),
    ):
        times, last = [one.milliseconds for one in pauses], pauses[-1]
        table.add_row(
            what,
            f"{median(times):.0f}",
            f"{min(times):.0f}",
            f"{max(times):.0f}",
            *(f"{count:,}" for count in (last.dropped, last.in_flight, last.counted)),
            str(sum(one.sent_after - one.sent_before for one in pauses)),
        )
    console.print()
    console.print(table)
    colour = "green" if result.ratio <= RATIO_MAX else "red"
    console.print(f"ratio of the medians [{colour}]{result.ratio:.2f}[/], at most {RATIO_MAX}")
    how = "by real imports" if result.filled == "import" else "by inserting the rows straight into the services' tables"
    console.print(
        f"filled {how} in {result.filling_seconds:.0f} s; {machine.in_words(result.machine)}; everything on this "
        f"machine; {result.seconds:.0f} s in all"
    )


def main() -> int:
    """Run it; 0 where the medians are near enough and every receipt is true."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pause", description=__doc__)
    parser.add_argument("--few", type=int, default=1_000, metavar="N", help="pending sends (default: 1,000)")
    parser.add_argument("--many", type=int, default=1_000_000, metavar="N", help="pending sends (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="pauses of each (default: 5)")
    parser.add_argument("--import", action="store_true", dest="imports", help="fill by real imports, which takes long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    asked = parser.parse_args()
    if min(asked.few, asked.many, asked.rounds) < 1:
        parser.error("--few, --many and --rounds must be at least 1")
    console = terminal()
    result = Result(asked.few, asked.many, asked.rounds, filled="import" if asked.imports else "insert")
    code = run("pause", console, partial(_measured, console=console, result=result))
    if result.complete:
        show(result, console)
        if asked.json is not None:
            asked.json.write_text(json.dumps(_figures(result), indent=1) + "\n")
    return code


def _figures(result: Result) -> dict[str, Any]:
    medians = {"few_median_ms": result.few_median, "many_median_ms": result.many_median, "ratio": result.ratio}
    return asdict(result) | medians | {"holds": result.holds}


async def _measured(stack: Stack, *, console: Console, result: Result) -> bool:
    return await Benchmark(stack, console, result).measure()


if __name__ == "__main__":
    sys.exit(main())
