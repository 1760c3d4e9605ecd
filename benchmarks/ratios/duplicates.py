"""R17: what arrives twice at an idempotent sink after `kill -9` of every sender at full load."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from chassis.clock import sleep
from chassis.pool import Conn
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice

from benchmarks import breaking, filling, workload
from benchmarks.arena import BenchmarkFailed, database, scale
from benchmarks.figures import Figure, Measured, Round

SERVICES: Final = True
ENV: Final = {**breaking.SETTINGS, "SLUICE_NULL_CHANNELS": "false"}
MESSAGES: Final = 12_000
KILLS: Final = 3
LANE: Final = "webhook:"
FIGURES: Final = (
    Figure("R17", "arrivals that repeat after kill -9 ÷ in flight at the kill", 1.0, 1.0, "less"),
    Figure("R17b", "messages that arrive under two keys", 0, 0, "less"),
)

_IN_FLIGHT: Final = "select count(*) from delivery.pending where sequence_id = $1 and token is not null"


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """Webhooks to the sink, which writes every arrival down; the body names the contact: each message has its own."""
    repeated: list[Round] = []
    renamed: list[Round] = []
    sink = Arrivals(stack.addresses.sink_file)
    async with database(stack) as conn, Sluice(stack.addresses.kafka) as sluice:
        await scale(stack, len(breaking.SENDERS))
        for number in range(1, rounds + 1):
            in_flight = await _send_and_kill(stack, sluice, conn, f"bench-{number}")
            repeats, twice, arrived = sink.read()
            repeated.append(Round(repeats / in_flight, repeats, in_flight))
            renamed.append(Round(twice, twice, arrived))
            console.print(
                f"  R17: {arrived:,} of {MESSAGES:,} arrived, {repeats:,} arrivals repeated, {in_flight:,} in flight "
                f"at {KILLS} kills, {twice} under two keys"
            )
    settings = {"messages": MESSAGES, "kills": KILLS, "senders": len(breaking.SENDERS)}
    return [
        Measured(FIGURES[0], repeated, "arrivals that repeat, claimed and not booked when killed", settings),
        Measured(FIGURES[1], renamed, "messages under two keys, messages", settings),
    ]


async def _send_and_kill(stack: Stack, sluice: Sluice, conn: Conn, sequence_id: str) -> int:
    """Send all of it, with kills at even distances; how many were claimed and not yet booked at each, in all."""
    url = f"{stack.addresses.sink_http}/webhook/{sequence_id}"
    message = {"channel": "webhook", "url": url, "json": {"contact": "{{ contact.id }}"}}
    step = {"step_id": workload.FIRST_STEP, "after": "0s", "message": message}
    await breaking.ready(stack)
    await workload.publish(sluice, conn, sequence_id, {"name": "Benchmark", "steps": [step]})
    await filling.by_insert(conn, {sequence_id: MESSAGES}, console=Console(quiet=True), lane=LANE)
    in_flight = 0
    for place in range(1, KILLS + 1):
        await workload.until_sent(conn, sequence_id, place * MESSAGES // (KILLS + 1), poll_seconds=0.02)
        await breaking.kill_senders(stack)
        in_flight += int(await conn.fetchval(_IN_FLIGHT, sequence_id))
        await sleep(breaking.REST_SECONDS)  # they are no longer called ready
        await breaking.ready(stack)
    await workload.until_sent(conn, sequence_id, MESSAGES, poll_seconds=0.02)
    if not in_flight:
        raise BenchmarkFailed("nothing was in flight when the senders were killed")
    return in_flight


class Arrivals:
    """What the sink has written since it was last read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0

    def read(self) -> tuple[int, int, int]:
        """Arrivals beyond the first of each key; messages under more than one key; different messages."""
        keys: dict[str, set[str]] = defaultdict(set)
        arrivals = 0
        for line in self._lines():
            arrivals += 1
            keys[line["sha256"]].add(line["message_id"])
        different = sum(len(one) for one in keys.values())
        return arrivals - different, sum(len(one) > 1 for one in keys.values()), len(keys)

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self._file.open("rb") as file:
            file.seek(self._read)
            yield from map(orjson.loads, file)
            self._read = file.tell()
