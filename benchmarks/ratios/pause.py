"""R12: a pause with a million pending sends, beside one with a thousand."""

from typing import Final

from devstack.stack import Stack
from rich.console import Console

from benchmarks.arena import BenchmarkFailed
from benchmarks.figures import Figure, Measured, ratio
from benchmarks.pause import Benchmark, Result

SERVICES: Final = True
FEW: Final = 1_000
MANY: Final = 1_000_000
FIGURES: Final = (Figure("R12", "a pause with 1 M pending ÷ with 1 k", 1.5, 1.1, "less"),)


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """As `make bench-pause` does, which looks at every receipt as well."""
    result = Result(FEW, MANY, rounds, filled="insert")
    await Benchmark(stack, console, result).measure()
    if not all(one.true for one in (*result.with_few, *result.with_many, *result.while_sending)):
        raise BenchmarkFailed("a receipt was not true: see `make bench-pause`")
    pairs = zip(result.with_many, result.with_few, strict=True)
    measured = [ratio(many.milliseconds, few.milliseconds) for many, few in pairs]
    return [Measured(FIGURES[0], measured, "ms from the command to SequenceStopped", {"few": FEW, "many": MANY})]
