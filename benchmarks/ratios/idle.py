"""R19: what a stack costs that has nothing to do."""

from typing import Final

from chassis.clock import sleep
from devstack.stack import Stack
from rich.console import Console

from benchmarks import machine
from benchmarks.arena import scale
from benchmarks.figures import Figure, Measured, Round

SERVICES: Final = True
SECONDS: Final = 20
FIGURES: Final = (Figure("R19", "idle cost of the costliest service process, in cores", 0.05, 0.01, "less"),)
NOT_OURS: Final = frozenset({"postgres", "kafka", "sink", "supervisor", "the client"})


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """At rest, with every service and one sender."""
    measured: list[Round] = []
    await scale(stack, 1)
    await sleep(5)
    each: dict[str, float] = {}
    for _ in range(rounds):
        before = machine.processor_seconds(stack)
        await sleep(SECONDS)
        after = machine.processor_seconds(stack)
        each = {name: (used - before.get(name, 0.0)) / SECONDS for name, used in after.items()}
        costliest = max(used for name, used in each.items() if name not in NOT_OURS)
        measured.append(Round(costliest, sum(each.values())))
        console.print("  R19: " + ", ".join(f"{name} {used:.3f}" for name, used in sorted(each.items())))
    settings = {"seconds": SECONDS, "cores by process": {name: round(used, 4) for name, used in each.items()}}
    return [Measured(FIGURES[0], measured, "cores of all processes together", settings)]
