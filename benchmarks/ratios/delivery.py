"""R1: what sender processes send to a null channel, with everything kept, beside a loop that writes the same rows.

Aside, in the settings: a loop that reads nothing of whom it writes to, and whose events are made beforehand.
"""

from statistics import median
from typing import Final

from devstack.stack import Stack
from rich.console import Console

from benchmarks import raw, workload
from benchmarks.arena import database
from benchmarks.figures import Figure, Measured, Round, in_turns
from benchmarks.sending import Sending

MESSAGES: Final = 200_000
FIGURES: Final = (Figure("R1", "delivery to a null channel ÷ a loop that writes the same rows", 0.75, 1.0),)


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """In turns, the queue filled and vacuumed before each."""
    measured: list[Round] = []
    knowing: list[Round] = []
    ids = workload.contact_ids(MESSAGES)
    await raw.prepare(stack)
    async with database(stack) as conn:
        sending = Sending(stack, conn, ids)
        async with sending.prepared():
            for number in range(rounds):
                one, known = await in_turns(
                    number,
                    sending.fill_and_send,
                    lambda: raw.sends(stack, ids),
                    lambda: raw.sends(stack, ids, knowing=True),
                )
                measured.append(one)
                knowing.append(known)
                console.print(
                    f"  R1: {one.ours:,.0f} messages/s, the loop {one.other:,.0f}, "
                    f"one that knows beforehand what it will write {known.other:,.0f}"
                )
    settings = {
        "messages": MESSAGES,
        "processes": sending.processes,
        "loops": raw.LOOPS,
        "a loop claims at once": raw.SENDS_PER_BATCH,
        "a loop that knows beforehand what it will write": {
            "ratio": round(median(one.value for one in knowing), 3),
            "other": [round(one.other or 0.0) for one in knowing],
        },
    }
    return [Measured(FIGURES[0], measured, "messages a second", settings)]
