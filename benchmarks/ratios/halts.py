"""R13: what leaves after a receipt, over a million halts, while senders claim and senders and Postgres break."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from math import inf
from typing import Any, Final

from chassis.clock import sleep, utc_now
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice
from testkit.breaking import SETTINGS

from benchmarks import breaking, filling, inject, workload
from benchmarks.arena import NULL_CHANNELS, BenchmarkFailed, database
from benchmarks.breaking import Fault, Frozen
from benchmarks.figures import Figure, Measured, Round
from benchmarks.inject.calls import FOLDER, Call, Log

HALTS: Final = 1_000_000
SEQUENCES: Final = 20
CONTACTS: Final = 2_000
STEPS: Final = 30
"""So many at once, two channels in turn, that a round never runs out of what is due."""
REMOVALS: Final = 200
ANSWER_SECONDS_MAX: Final = 120.0
LATE_SECONDS: Final = 0.3
"""Whoever would send after a receipt does it now."""
FIGURES: Final = (Figure("R13", "sends after a receipt, over 1 M halts amid faults", 0, 0, "less"),)
FAULTS: Final[Sequence[tuple[str, Fault | None]]] = (
    ("nothing broken", None),
    ("kill -9 of the senders", breaking.kill_senders),
    ("nothing broken", None),
    ("senders frozen beyond their leases", breaking.freeze_senders),
    ("nothing broken", None),
    ("Postgres restarted", breaking.restart_postgres),
)

_LEFT: Final = "select count(*) from delivery.pending where sequence_id = any($1::text[])"
_LIVING: Final = """
select contact_id from delivery.pending where sequence_id = any($1::text[]) and not halted order by random() limit $2
"""


async def measure(stack: Stack, console: Console, rounds: int, *, halts: int = HALTS) -> list[Measured]:
    """One run, whatever `rounds`: batches of pauses and removals until their receipts cover so many messages."""
    folder = stack.layout.home / "calls"
    folder.mkdir()
    env = {**NULL_CHANNELS, **SETTINGS, **inject.env("calls"), FOLDER: str(folder)}
    away = ("console", "delivery-receive")
    await asyncio.to_thread(stack.start, services=True, senders=len(breaking.SENDERS), env=env, without=away)
    async with Sluice(stack.addresses.kafka) as sluice:
        run = Halts(stack, sluice, console, Log(folder))
        await run.until(halts)
    settings = {
        "halts": run.halts,
        "sends": run.sends,
        "claims met": run.in_flight,
        "pauses": run.pauses,
        "removals": run.removals,
        "rounds": dict(run.rounds),
        "stood still between last look and first byte": run.amid,
    }
    return [Measured(FIGURES[0], [Round(run.late, run.late, run.halts)], "sends after a receipt, halts", settings)]


@dataclass(slots=True)
class Halts:
    """One stack, and what was seen on it.

    A halt is a message of one enrollment that a receipt covers: it was dropped, or the claim on it has ended.
    """

    stack: Stack
    sluice: Sluice
    console: Console
    log: Log
    halts: int = 0
    in_flight: int = 0
    sends: int = 0
    pauses: int = 0
    removals: int = 0
    late: int = 0
    amid: int = 0
    """Sends of a process that was frozen between its last look and the first byte: nothing can hold these back."""
    rounds: Counter[str] = field(default_factory=Counter)
    sequences: list[str] = field(default_factory=list)
    stopped: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By sequence or contact: nothing may leave between."""

    async def until(self, wanted: int) -> None:
        """Rounds of one fault each, until there were so many halts."""
        for number, (name, fault) in enumerate(cycle(FAULTS)):
            if self.halts >= wanted:
                return
            if not self.sequences or await self._left() < SEQUENCES * CONTACTS // 3:
                await self._fill(number)
            await self._round(name, fault)
            self.console.print(
                f"  R13: {self.halts:>9,} halts, {self.in_flight:,} claims met, {self.sends:,} sends, "
                f"{self.late} after a receipt; {name}"
            )

    async def _round(self, name: str, fault: Fault | None) -> None:
        """Pause one half and remove contacts of the other while a fault strikes; judge; go on."""
        random.shuffle(self.sequences)
        paused, others = self.sequences[: SEQUENCES // 2], self.sequences[SEQUENCES // 2 :]
        async with database(self.stack) as conn:
            removed = [row[0] for row in await conn.fetch(_LIVING, others, REMOVALS)]
        breaks: asyncio.Task[Frozen | None] | None = None
        async with asyncio.TaskGroup() as group:
            if fault is not None:
                breaks = group.create_task(self._break(fault))
                await sleep(random.uniform(0, 0.5))
            for sequence_id in paused:
                group.create_task(self._pause(sequence_id))
            for contact_id in removed:
                group.create_task(self._remove(contact_id))
        await sleep(LATE_SECONDS)
        self._judge(self.log.read(), breaks.result() if breaks is not None else None)
        until = utc_now().timestamp()
        for sequence_id in paused:
            self.stopped[sequence_id] = self.stopped[sequence_id][0], until
        async with asyncio.TaskGroup() as group:
            for sequence_id in paused:
                group.create_task(
                    self.sluice.resume(sequence_id, wait="resumed", overdue="send_now", seconds_max=ANSWER_SECONDS_MAX)
                )
        self.rounds[name] += 1

    async def _break(self, fault: Fault) -> Frozen | None:
        frozen = await fault(self.stack)
        await sleep(breaking.REST_SECONDS)
        await breaking.ready(self.stack)
        return frozen

    async def _pause(self, sequence_id: str) -> None:
        answered = await self.sluice.pause(sequence_id, wait="stopped", seconds_max=ANSWER_SECONDS_MAX)
        if answered.state is None or answered.state.receipts is None:
            raise BenchmarkFailed(f"{sequence_id}: stopped without a receipt")
        receipts = answered.state.receipts
        self.stopped[sequence_id] = receipts.halted_at.timestamp(), inf
        self.pauses += 1
        self._count(receipts.dropped, receipts.in_flight)

    async def _remove(self, contact_id: str) -> None:
        answered = await self.sluice.remove(contact_id, wait="halted", seconds_max=ANSWER_SECONDS_MAX)
        if answered.halted is None:
            raise BenchmarkFailed(f"{contact_id}: halted without a receipt")
        self.stopped[contact_id] = answered.halted.halted_at.timestamp(), inf
        self.removals += 1
        self._count(answered.halted.dropped, answered.halted.in_flight)

    def _count(self, dropped: int, in_flight: int) -> None:
        self.halts += dropped + in_flight
        self.in_flight += in_flight

    def _judge(self, calls: Sequence[Call], frozen: Frozen | None) -> None:
        late, amid = judged(calls, self.stopped, frozen)
        self.sends += len(calls)
        self.late += late
        self.amid += amid

    async def _left(self) -> int:
        async with database(self.stack) as conn:
            return int(await conn.fetchval(_LEFT, self.sequences))

    async def _fill(self, number: int) -> None:
        """Other sequences with contacts of their own, all due."""
        self.sequences = [f"halts-{number}-{place}" for place in range(SEQUENCES)]
        self.stopped.clear()
        async with database(self.stack) as conn:
            await asyncio.gather(*(self._publish(one) for one in self.sequences))
            for sequence_id in self.sequences:
                await workload.heard(conn, sequence_id)
            await filling.by_insert(conn, dict.fromkeys(self.sequences, CONTACTS), console=Console(quiet=True))

    async def _publish(self, sequence_id: str) -> None:
        await self.sluice.save(sequence_id, DEFINITION)
        await self.sluice.publish(sequence_id)


def judged(calls: Iterable[Call], stopped: Mapping[str, tuple[float, float]], frozen: Frozen | None) -> tuple[int, int]:
    """Each call against the stops of its sequence and of its contact: how many left after a receipt, and apart from
    these, how many of processes that had looked before it was given and were frozen before the first byte."""
    late = amid = 0
    for call in calls:
        for what in (call.contact_id.rpartition("-")[0], call.contact_id):
            since, until = stopped.get(what, (inf, inf))
            if not since < call.left < until:
                continue
            if frozen is not None and call.looked <= since and _stood_still(call, frozen):
                amid += 1
            else:
                late += 1
    return late, amid


def _stood_still(call: Call, frozen: Frozen) -> bool:
    """Whether its process was frozen between its last look and the first byte: none of it is done while it is."""
    return call.pid in frozen.pids and call.looked < frozen.until <= call.left


def _step(number: int) -> dict[str, Any]:
    email = {"channel": "email", "subject": "Hi", "text": "Hello {{ contact.first_name }}"}
    webhook = {"channel": "webhook", "url": "https://crm.example/hook", "json": {"contact": "{{ contact.id }}"}}
    return {"step_id": f"step-{number}", "after": "0s", "message": webhook if number % 2 else email}


DEFINITION: Final[dict[str, Any]] = {
    "name": "Halts",
    "steps": [_step(0) | {"step_id": workload.FIRST_STEP}, *(_step(number) for number in range(1, STEPS))],
}
