"""R7, R8, R9: reading a topic into rows, beside a raw loop and a usual handler; the relay, beside a raw producer."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chassis.clock import monotonic, new_id
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice
from sluice_contracts import topics

from benchmarks import raw, workload
from benchmarks.arena import BenchmarkFailed, database, old_snapshot, until
from benchmarks.figures import Figure, Measured, Rate, Round, in_turns
from benchmarks.loops import consume, produce
from benchmarks.loops.process import heard, program
from benchmarks.ratios import rows

EVENTS: Final = 200_000
EVENTS_ONE_BY_ONE: Final = 5_000
TIMES_HELD: Final = 3
"""What an old snapshot costs grows with what was published since."""
SECONDS_MAX: Final = 300.0
PUBLISHED_TO: Final = topics.ENROLLMENT_EVENTS
"""By the relay and the raw producer: the topic that is read keeps each event once. It has as many partitions."""
FIGURES: Final = (
    Figure("R7", "consume + inbox + write ÷ raw getmany + same decode + same write", 0.5, 0.8),
    Figure("R8", "the same ÷ a usual FastStream handler of one message", 5, 20),
    Figure("R9", "relay ÷ raw producer", 0.25, 0.5),
    Figure("R14b", "relay with an old snapshot held ÷ without", 0.9, 1.0),
)

_FILL: Final = f"""
insert into {rows.SCHEMA}.outbox (lane, topic, key, value)
select 1, $1, key, value from unnest($2::bytea[], $3::bytea[]) as row (key, value)
"""
_KEPT: Final = "create table if not exists public.bench_outbox (seq bigint, topic text, key bytea, value bytea)"
_KEEP: Final = "insert into public.bench_outbox select seq, topic, key, value from " + f"{rows.SCHEMA}.outbox"
_LEFT: Final = f"select exists (select from {rows.SCHEMA}.outbox)"


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """One topic is read by each in turns; one outbox is filled anew each time."""
    prepared = await asyncio.to_thread(raw.prepared, workload.contact_ids(EVENTS))
    taken: dict[str, list[Round]] = {figure.name: [] for figure in FIGURES}
    async with database(stack) as conn:
        await conn.execute(rows.TABLE)
        await conn.execute(rows.GRANT)
        await conn.execute(_KEPT)
        bench = Bench(stack, conn)
        await bench.write(prepared)

        def reads(name: str, count: int = EVENTS) -> Rate:
            return lambda: bench.consumed(name, count)

        for number in range(rounds):
            loop, usual = await in_turns(
                number,
                reads("ours.consume"),
                reads("loops.consume"),
                reads("loops.faststream_usual", EVENTS_ONE_BY_ONE),
            )
            taken["R7"].append(loop)
            taken["R8"].append(usual)
            console.print(
                f"  R7, R8: {loop.ours:,.0f} events/s, the loop {loop.other:,.0f}, the usual handler {usual.other:,.0f}"
            )
            taken["R9"] += await in_turns(number, lambda: bench.relayed(prepared), bench.produced)
            console.print(f"  R9: {taken['R9'][-1].ours:,.0f} records/s, the producer {taken['R9'][-1].other:,.0f}")

        async def held() -> float:
            async with old_snapshot(stack):
                return await bench.relayed(prepared, times=TIMES_HELD)

        for number in range(rounds):
            taken["R14b"] += await in_turns(number, held, lambda: bench.relayed(prepared, times=TIMES_HELD))
            console.print(f"  R14b: {taken['R14b'][-1].ours:,.0f} records/s, without {taken['R14b'][-1].other:,.0f}")
    settings = {
        "events": EVENTS,
        "one by one": EVENTS_ONE_BY_ONE,
        "of R14b": TIMES_HELD * EVENTS,
        "the loop reads at once": consume.RECORDS_MAX,
        "the producer's sends under way": produce.UNDER_WAY,
    }
    return [Measured(figure, taken[figure.name], "events a second", settings) for figure in FIGURES]


class Bench:
    """One schema whose tables are used, while no service of it runs."""

    def __init__(self, stack: Stack, conn: Conn) -> None:
        self._stack = stack
        self._conn = conn

    async def write(self, prepared: list[raw.Prepared], *, kept: bool = True) -> None:
        """Put the events on the topic, and keep them as the rows of an outbox."""
        async with Sluice(self._stack.addresses.kafka) as sluice:
            flying = [
                await sluice.transport.send(topics.DELIVERY_EVENTS, key=row.contact_id, value=row.sent)
                for row in prepared
            ]
            await asyncio.gather(*flying)
        if kept:
            await self._fill(prepared)
            await self._conn.execute(_KEEP)

    async def consumed(self, name: str, count: int, *, env: Mapping[str, str] = MappingProxyType({})) -> float:
        """Events a second, from the first row to the last."""
        await self._conn.execute(rows.EMPTY)
        async with program(name, self.settings(), env=env) as process:

            async def written() -> bool:
                if process.returncode is not None:
                    raise BenchmarkFailed(f"{name} ended before it had written {count} rows")
                return int(await self._conn.fetchval(rows.COUNT)) >= count

            await until(f"{name} has written {count} rows", written, seconds_max=SECONDS_MAX)
        found = int(await self._conn.fetchval(rows.COUNT))
        return found / float(await self._conn.fetchval(rows.SECONDS))

    async def relayed(self, prepared: list[raw.Prepared], *, times: int = 1) -> float:
        """Records a second, from the wake-up to an outbox that is empty, of so many times what is prepared."""
        await self._conn.execute(rows.EMPTY)
        async with program("ours.relay", self.settings()):
            await self._fill(prepared[:1])
            await until("the relay is ready", self._published, seconds_max=SECONDS_MAX, poll_seconds=0.01)
            async with self._conn.transaction():
                for _ in range(times):
                    await self._fill(prepared)
            started = monotonic()
            await self._conn.execute("select pg_notify($1, '')", f"{rows.SCHEMA}.outbox")
            await until("all is published", self._published, seconds_max=SECONDS_MAX, poll_seconds=0.01)
            return times * len(prepared) / (monotonic() - started)

    async def produced(self) -> float:
        """Records a second of the raw producer."""
        async with program("loops.produce", self.settings() | {"table": "public.bench_outbox"}) as process:
            said = await heard(process)
        return float(said["rows"] / said["seconds"])

    async def _fill(self, prepared: list[raw.Prepared]) -> None:
        keys, values = [row.key for row in prepared], [row.sent for row in prepared]
        await self._conn.execute(_FILL, PUBLISHED_TO, keys, values)

    async def _published(self) -> bool:
        return not await self._conn.fetchval(_LEFT)

    def settings(self) -> dict[str, Any]:
        """What each program is started with."""
        return {
            "database": self._stack.addresses.postgres_admin_url.rsplit("/", 1)[0] + "/sluice",
            "kafka": self._stack.addresses.kafka,
            "topic": topics.DELIVERY_EVENTS,
            "group": new_id(),
        }
