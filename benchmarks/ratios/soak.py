"""R15: an hour at full load: whether throughput stays, and whether tables that are emptied stay as small."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from chassis.clock import monotonic, sleep
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice

from benchmarks import counting, machine, workload
from benchmarks.arena import database, scale, until
from benchmarks.figures import Figure, Measured, ratio

SERVICES: Final = True
SECONDS: Final = 3_600.0
CONTACTS: Final = 20_000
SENDERS: Final = 2
UNDER_WAY_MAX: Final = 20_000
"""With so many messages and unpublished records under way nobody else is let in: nothing grows for want of pace."""
LOOK_SECONDS: Final = 0.05
ENTER_AT_ONCE: Final = 4
SAMPLE_SECONDS: Final = 5.0
TENTHS: Final = 10
WARM: Final = 1
"""The tenth that sizes are compared with: in the one before it nothing was vacuumed yet."""
COMPARED_BYTES_MIN: Final = 1_000_000
"""Smaller tables grow by their first pages."""
HEARD_SECONDS_MAX: Final = 300.0
FIGURES: Final = (
    Figure("R15", "soak: throughput of the last tenth ÷ of the first", 0.95, 1.0),
    Figure("R15b", "soak: size of what is emptied, last tenth ÷ second, the worst table", 1.2, 1.05, "less"),
)
EMPTIED: Final = (
    "delivery.pending",
    "delivery.claim",
    "delivery.books_delta",
    "delivery.outbox",
    "enrollment.outbox",
    "sequences.outbox",
    "delivery.consumer_offset",
    "enrollment.consumer_offset",
)
"""What holds only what is under way. Enrollments, history and inboxes keep what has been; they grow by design."""

_QUEUED: Final = "select count(*) from delivery.pending"
_SENDS: Final = "select exists (select from delivery.message)"
_NOW: Final = "select clock_timestamp()"
_SIZES: Final = "select name, pg_total_relation_size(name::regclass) from unnest($1::text[]) as name"
_BY_TENTH: Final = """
select width_bucket(extract(epoch from ended_at - $1)::float8, 0, $2, $3) as tenth, count(*)
from delivery.message where ended_at >= $1 and ended_at < $1 + make_interval(secs => $2) and outcome = 'sent'
group by tenth
"""
DEFINITION: Final[dict[str, Any]] = {
    "name": "Soak",
    "steps": [
        {
            "step_id": f"step-{number}",
            "after": f"{number}s",
            "message": {"channel": "email", "subject": "Hi", "text": "Hello {{ contact.first_name }}, step."},
        }
        for number in range(2)
    ],
}


async def measure(stack: Stack, console: Console, rounds: int, *, seconds: float = SECONDS) -> list[Measured]:
    """One run, whatever `rounds`: the same contacts enter one sequence after the other, and get two messages each."""
    ids = workload.contact_ids(CONTACTS)
    async with database(stack) as conn, Sluice(stack.addresses.kafka) as sluice:
        await workload.write_contacts(sluice, conn, ids, seconds_max=HEARD_SECONDS_MAX)
        await scale(stack, SENDERS)
        soak = Soak(stack, sluice, console, ids, seconds)
        began = await soak.run()
        found = {int(row[0]): int(row[1]) for row in await conn.fetch(_BY_TENTH, began, seconds, TENTHS)}
    rates = [found.get(tenth, 0) / (seconds / TENTHS) for tenth in range(1, TENTHS + 1)]
    console.print("  R15: messages/s by tenth: " + ", ".join(f"{rate:,.0f}" for rate in rates))
    used = [
        machine.used_per_unit(before, after, int(rate * seconds / TENTHS) or 1)
        for (before, after), rate in zip(pairwise(soak.used), rates, strict=True)
    ]
    shares = {name: [round(one.get(name, 0)) for one in used] for name in used[0]}
    for name, each in shares.items():
        console.print(f"  R15: µs of the processor a message, {name}, by tenth: " + ", ".join(map(str, each)))
    first, last = soak.largest(WARM), soak.largest(TENTHS - 1)
    for name in EMPTIED:
        console.print(f"  R15b: {name}: {first[name] / 1e6:.1f} MB, at the end {last[name] / 1e6:.1f} MB")
    settings = {
        "seconds": seconds,
        "contacts a sequence": CONTACTS,
        "sequences": soak.entered,
        "messages a second by tenth": [round(rate) for rate in rates],
        "µs of the processor a message by tenth": shares,
        "bytes": {name: [first[name], last[name]] for name in EMPTIED},
    }
    large = [name for name in EMPTIED if last[name] >= COMPARED_BYTES_MIN] or EMPTIED  # a short look leaves all small
    sizes = max((ratio(last[name], first[name]) for name in large), key=lambda one: one.value)
    return [
        Measured(FIGURES[0], [ratio(rates[-1], rates[0])], "messages a second", settings),
        Measured(FIGURES[1], [sizes], "bytes of tables and indexes", settings),
    ]


@dataclass(slots=True)
class Soak:
    """Who enters, and how large the tables are meanwhile."""

    stack: Stack
    sluice: Sluice
    console: Console
    ids: Sequence[str]
    seconds: float
    entered: int = 0
    """Sequences that all contacts have entered."""
    ended: float = 0.0
    sizes: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    """With the second of the run."""
    used: list[dict[str, float]] = field(default_factory=list)
    """Seconds of the processor by process, when the run begins and at the end of each tenth."""

    async def run(self) -> datetime:
        """When it began, by the database's clock: when the first message was sent."""
        async with asyncio.TaskGroup() as group:
            entering = group.create_task(self._enter())
            async with database(self.stack) as conn:

                async def sends() -> bool:
                    return bool(await conn.fetchval(_SENDS))

                await until("the first message is sent", sends, seconds_max=HEARD_SECONDS_MAX)
                began: datetime = await conn.fetchval(_NOW)
                await self._sample(conn)
            entering.cancel()
        return began

    def largest(self, tenth: int) -> dict[str, int]:
        """The largest that each table and its indexes were in that tenth of the run."""
        share = self.seconds / TENTHS
        within = [sizes for at, sizes in self.sizes if tenth * share <= at < (tenth + 1) * share]
        return {name: max(sizes[name] for sizes in within) for name in EMPTIED}

    async def _sample(self, conn: Conn) -> None:
        started = monotonic()
        every = min(SAMPLE_SECONDS, self.seconds / TENTHS / 4)
        while (at := monotonic() - started) < self.seconds:
            if at >= len(self.used) * self.seconds / TENTHS:
                self.used.append(machine.processor_seconds(self.stack))
            self.sizes.append((at, {row[0]: int(row[1]) for row in await conn.fetch(_SIZES, EMPTIED)}))
            await sleep(every)
        self.used.append(machine.processor_seconds(self.stack))

    async def _enter(self) -> None:
        """All contacts into one sequence after the other; the next is published while they enter."""
        async with database(self.stack) as conn, database(self.stack) as other:
            await workload.publish(self.sluice, other, _name(0), DEFINITION)
            while True:
                name, following = _name(self.entered), _name(self.entered + 1)
                async with asyncio.TaskGroup() as group:
                    group.create_task(workload.publish(self.sluice, other, following, DEFINITION))
                    await self._enroll(conn, name)
                self.entered += 1

    async def _enroll(self, conn: Conn, sequence_id: str) -> None:
        places = asyncio.Semaphore(ENTER_AT_ONCE)

        async def send(number: int, chunk: Sequence[str]) -> None:
            async with places:
                await self.sluice.enroll_many(sequence_id, chunk, chunk=number, seconds_max=workload.CHUNK_SECONDS_MAX)

        async with asyncio.TaskGroup() as group:
            for number, chunk in enumerate(workload.chunks(self.ids)):
                while places.locked() or await self._full(conn):
                    await sleep(LOOK_SECONDS)
                group.create_task(send(number, chunk))
                await sleep(0)

    async def _full(self, conn: Conn) -> bool:
        return int(await conn.fetchval(_QUEUED)) + await counting.unpublished(conn) >= UNDER_WAY_MAX


def _name(number: int) -> str:
    return f"soak-{number}"
