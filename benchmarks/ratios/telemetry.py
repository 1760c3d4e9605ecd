"""R20: what metrics, heartbeats, log lines and the checking of messages cost a sender and a reader."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from devstack.stack import Stack
from rich.console import Console

from benchmarks import inject, raw, workload
from benchmarks.arena import NULL_CHANNELS, database
from benchmarks.figures import Figure, Measured, Rate, Round, in_turns
from benchmarks.ratios import rows
from benchmarks.ratios.messaging import Bench
from benchmarks.sending import Sending

MESSAGES: Final = 200_000
EVENTS: Final = 400_000
ON: Final = {"SLUICE_LOG_LEVEL": "info"}
OFF: Final = {"SLUICE_LOG_LEVEL": "error", **inject.env("bare")}
FIGURES: Final = (
    Figure("R20", "sends with telemetry and validation ÷ without", 0.85, 0.95),
    Figure("R20b", "events read with telemetry and validation ÷ without", 0.85, 0.95),
)


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """In turns. `inject.bare` leaves it out, in the process, before anything of it runs."""
    taken: dict[str, list[Round]] = {figure.name: [] for figure in FIGURES}
    prepared = await asyncio.to_thread(raw.prepared, workload.contact_ids(EVENTS))
    async with database(stack) as conn:
        await conn.execute(rows.TABLE)
        await conn.execute(rows.GRANT)
        bench = Bench(stack, conn)
        await bench.write(prepared, kept=False)
        whole = Sending(
            stack, conn, workload.contact_ids(MESSAGES), env=NULL_CHANNELS | ON, log=asyncio.subprocess.DEVNULL
        )
        bare = replace(whole, env=NULL_CHANNELS | OFF)

        def reads(env: Mapping[str, str]) -> Rate:
            return lambda: bench.consumed("ours.consume", EVENTS, env=env)

        for number in range(rounds):
            taken["R20"] += await in_turns(number, whole.rate, bare.rate)
            taken["R20b"] += await in_turns(number, reads(ON), reads(OFF))
            for name, measured in taken.items():
                console.print(f"  {name}: {measured[-1].ours:,.0f}/s, without {measured[-1].other:,.0f}")
    settings = {"messages": MESSAGES, "events": EVENTS, "processes": whole.processes}
    return [Measured(figure, taken[figure.name], "messages or events a second", settings) for figure in FIGURES]
