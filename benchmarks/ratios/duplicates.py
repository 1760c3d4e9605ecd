"""R17: what arrives twice at an idempotent sink after `kill -9` of every sender at full load."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from chassis.clock import sleep
from chassis.pool import Conn
from devstack.stack import Stack
from messaging import derive
from rich.console import Console
from sluice import Sluice
from testkit.breaking import SETTINGS

from benchmarks import breaking, filling, workload
from benchmarks.arena import BenchmarkFailed, database, scale
from benchmarks.figures import Figure, Measured, Round, in_words

SERVICES: Final = True
ENV: Final = {**SETTINGS, "SLUICE_NULL_CHANNELS": "false"}
MESSAGES: Final = 12_000
KILLS: Final = 3
LANE: Final = "webhook:"
FIGURES: Final = (
    Figure("R17", "arrivals that repeat after kill -9 ÷ in flight at the kill", 1.0, 1.0, "less"),
    Figure("R17b", "messages that arrive under two keys", 0, 0, "less"),
    Figure("R17c", "messages that arrive again, in flight at no kill", 0, 0, "less"),
)

_CLAIMED: Final = """
select enrollment_id::text as enrollment_id, token from delivery.pending where sequence_id = $1 and token is not null
"""


class Arrivals:
    """What has arrived at the sink: which bodies, under which keys, and how often."""

    def __init__(self, lines: Iterable[Mapping[str, Any]]) -> None:
        self._counted = Counter((line["sha256"], line["message_id"]) for line in lines)

    @property
    def different(self) -> int:
        """Messages, whatever their keys."""
        return len({body for body, _ in self._counted})

    @property
    def repeats(self) -> int:
        """Arrivals beyond the first of each message and key."""
        return self._counted.total() - len(self._counted)

    @property
    def repeated(self) -> set[str]:
        """The keys under which more than one arrived."""
        return {key for (_, key), arrived in self._counted.items() if arrived > 1}

    @property
    def renamed(self) -> int:
        """Messages under more than one key."""
        keys = Counter(body for body, _ in self._counted)
        return sum(several > 1 for several in keys.values())


class Claim(NamedTuple):
    """One message in one claim: once more claimed it has another token."""

    message_id: str
    token: int


@dataclass(slots=True)
class Kills:
    """What the senders had claimed and not booked at each kill of a round, each claim once.

    The claims of a dead sender stay until the reaper takes them: the next kill may find them once more.
    """

    found: list[set[Claim]] = field(default_factory=list)
    """By kill, without what one before has found."""
    seen_before: list[int] = field(default_factory=list)
    """By kill, how many one before had found."""

    def note(self, claims: Iterable[Claim]) -> None:
        """What stands claimed after one more kill."""
        now = set(claims)
        new = now.difference(*self.found)
        self.found.append(new)
        self.seen_before.append(len(now) - len(new))

    @property
    def in_flight(self) -> int:
        """At all kills together."""
        return sum(map(len, self.found))

    def came_again(self, arrivals: Arrivals) -> list[int]:
        """By kill, of how many of what it found there was more than one arrival."""
        return [len({claim.message_id for claim in one} & arrivals.repeated) for one in self.found]

    def unclaimed(self, arrivals: Arrivals) -> int:
        """How many messages came again that no kill has found claimed."""
        return len(arrivals.repeated - {claim.message_id for one in self.found for claim in one})


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """Webhooks to the sink, which writes every arrival down; the body names the contact: each message has its own."""
    repeated: list[Round] = []
    renamed: list[Round] = []
    unclaimed: list[Round] = []
    details: list[dict[str, Any]] = []
    sink = Sink(stack.addresses.sink_file)
    async with database(stack) as conn, Sluice(stack.addresses.kafka) as sluice:
        await scale(stack, len(breaking.SENDERS))
        for number in range(1, rounds + 1):
            kills = await _send_and_kill(stack, sluice, conn, f"bench-{number}")
            seen = Arrivals(sink.new())
            repeated.append(Round(seen.repeats / kills.in_flight, seen.repeats, kills.in_flight))
            renamed.append(Round(seen.renamed, seen.renamed, seen.different))
            unclaimed.append(Round(kills.unclaimed(seen), kills.unclaimed(seen), len(seen.repeated)))
            details.append(_details(kills, seen))
            console.print(
                f"  R17: {seen.different:,} of {MESSAGES:,} arrived, {seen.repeats:,} arrivals repeated, "
                f"{kills.in_flight:,} in flight at {KILLS} kills, {seen.renamed} under two keys"
            )
            console.print(f"  R17: {in_words(details[-1])}")
    settings = {"messages": MESSAGES, "kills": KILLS, "senders": len(breaking.SENDERS), "rounds": details}
    return [
        Measured(FIGURES[0], repeated, "arrivals that repeat, claimed and not booked when killed", settings),
        Measured(FIGURES[1], renamed, "messages under two keys, messages", settings),
        Measured(FIGURES[2], unclaimed, "of these in flight at no kill, messages that came again", settings),
    ]


def _details(kills: Kills, seen: Arrivals) -> dict[str, Any]:
    return {
        "in flight at each kill": [len(one) for one in kills.found],
        "still claimed from a kill before": kills.seen_before,
        "of those in flight came again": kills.came_again(seen),
    }


async def _send_and_kill(stack: Stack, sluice: Sluice, conn: Conn, sequence_id: str) -> Kills:
    """Send all of it, with kills at even distances; what was claimed and not yet booked at each."""
    url = f"{stack.addresses.sink_http}/webhook/{sequence_id}"
    message = {"channel": "webhook", "url": url, "json": {"contact": "{{ contact.id }}"}}
    step = {"step_id": workload.FIRST_STEP, "after": "0s", "message": message}
    await breaking.ready(stack)
    await workload.publish(sluice, conn, sequence_id, {"name": "Benchmark", "steps": [step]})
    await filling.by_insert(conn, {sequence_id: MESSAGES}, console=Console(quiet=True), lane=LANE)
    kills = Kills()
    for place in range(1, KILLS + 1):
        await workload.until_sent(conn, sequence_id, place * MESSAGES // (KILLS + 1), poll_seconds=0.02)
        await breaking.kill_senders(stack)
        kills.note(await _claimed(conn, sequence_id))
        await sleep(breaking.REST_SECONDS)  # they are no longer called ready
        await breaking.ready(stack)
    await workload.until_sent(conn, sequence_id, MESSAGES, poll_seconds=0.02)
    if not kills.in_flight:
        raise BenchmarkFailed("nothing was in flight when the senders were killed")
    return kills


async def _claimed(conn: Conn, sequence_id: str) -> list[Claim]:
    rows = await conn.fetch(_CLAIMED, sequence_id)
    return [Claim(derive(row["enrollment_id"], workload.FIRST_STEP), row["token"]) for row in rows]


class Sink:
    """The file into which the sink writes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The arrivals since it was last read."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            yield from map(orjson.loads, file)
            self._read = file.tell()
