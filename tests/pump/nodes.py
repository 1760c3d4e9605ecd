"""The services as processes that take one step at a time: read records of a partition, or go one round of a loop."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import delivery.loops
import delivery.routes
import enrollment.loops
import enrollment.routes
import sequences.loops
import sequences.routes
from chassis.health import Health
from chassis.rounds import Rounds
from enrollment.settings import EnrollmentSettings
from messaging import Routes, offsets
from messaging.outbox import BULK, URGENT, Queued, lane_of
from messaging.pipeline import Pipeline
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sequences.settings import SequencesSettings

from tests.pump.clock import Clock
from tests.pump.database import NOWHERE, Database
from tests.pump.fragile import FragilePool
from tests.pump.topics import PARTITIONS, Place, Record, Relay, Topics

HALT_WAIT_SECONDS: Final = 22.0
"""The longest lease and a margin, as in delivery's settings."""
PARKED_SECONDS_MAX: Final = 10.0
ERASING: Final = ["sequences", "enrollment", "delivery"]
LEFT_OUT: Final = frozenset({"upkeep"})
"""Loops that only make partitions and forget what is old."""

Round = Callable[[], Awaitable[bool]]

_TAKE: Final = """
with taken as (delete from outbox returning seq, topic, key, value, headers)
select seq, topic, key, value, headers from taken order by seq
"""


@dataclass
class Node:
    """One service. To its loops it is the `Service` that they go by."""

    name: str
    pool: Any
    """A FragilePool: to the services it looks like a pool."""
    routes: Routes
    build: Callable[["Node"], Mapping[str, Round]]
    positions: dict[str, dict[int, int]] = field(default_factory=dict)
    relays: dict[int, Relay] = field(default_factory=lambda: {lane: Relay(lane) for lane in (URGENT, BULK)})
    rounds: Mapping[str, Round] = field(default_factory=dict)
    restless: set[str] = field(default_factory=set)
    """Loops that may find something to do."""

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(self.name, self.routes.source, self.pool)
        self.restart()

    def restart(self) -> None:
        """A new process: its loops know nothing of before, and its positions are read from the database."""
        self.rounds = self.build(self)
        self.restless = set(self.rounds)
        self.positions.clear()

    def begin(self) -> Any:
        """A transaction for a loop."""
        return self.pipeline.begin()

    async def start(self) -> None:
        """Take over all partitions of all topics that it reads."""
        async with self.pool.acquire() as conn:
            for topic in self.routes.topics:
                if topic not in self.positions:
                    beginnings = dict.fromkeys(range(PARTITIONS), 0)
                    self.positions[topic] = await offsets.load(
                        conn, topic, beginnings=beginnings, partitions=PARTITIONS
                    )

    def behind(self, topics: Topics) -> Iterator[tuple[Place, int]]:
        """The partitions that hold something unread, and how much."""
        for topic, positions in self.positions.items():
            for partition, position in positions.items():
                if position < topics.end((topic, partition)):
                    yield (topic, partition), topics.end((topic, partition)) - position

    def next(self, topics: Topics, place: Place, count: int) -> list[Record]:
        """The next records of a partition."""
        topic, partition = place
        position = self.positions[topic][partition]
        return topics.logs[place][position : position + count]

    async def handle(self, records: Sequence[Record]) -> None:
        """Handle records of one partition in one transaction."""
        topic = records[0].topic
        await self.pipeline.handle(self.routes.topics[topic], records, self.positions[topic])

    async def beat(self, topics: Topics) -> None:
        """Every reader that has caught up says so."""
        behind = {place for place, _ in self.behind(topics)}
        standing = {
            (topic, partition): at
            for topic, routes in self.routes.topics.items()
            if routes.heartbeat
            for partition, at in self.positions[topic].items()
            if (topic, partition) not in behind
        }
        async with self.pool.acquire() as conn:
            await offsets.beat(conn, standing)

    async def take_outbox(self) -> list[Queued]:
        """What was said since the last time, in its order; from here it goes on through the relays."""
        async with self.pool.acquire() as conn:
            rows = [Queued(*row) for row in await conn.fetch(_TAKE)]
        for row in rows:
            self.relays[lane_of(row.topic)].waiting.append(row)
        return rows


def nodes(database: Database) -> dict[str, Node]:
    """The three services."""
    return {
        node.name: node
        for node in (
            _node(database, "sequences", sequences.routes.build(_sequences(database)), _sequences_rounds(database)),
            _node(database, "enrollment", enrollment.routes.build(), _enrollment_rounds(database)),
            _node(database, "delivery", delivery.routes.routes(), _delivery_rounds(database.clock)),
        )
    }


def health() -> Health:
    """One that nobody asks."""
    return Health(registry=CollectorRegistry())


def _node(database: Database, name: str, routes: Routes, build: Callable[[Any], Mapping[str, Round]]) -> Node:
    return Node(name, FragilePool(database.pools[name]), routes, build)


def _sequences(database: Database) -> SequencesSettings:
    return SequencesSettings(
        database_url=SecretStr(database.urls["sequences"]), kafka_bootstrap_servers=NOWHERE, erasing_services=ERASING
    )


def _sequences_rounds(database: Database) -> Callable[[Any], Mapping[str, Round]]:
    return lambda node: _rounds(sequences.loops.build(node, _sequences(database), health()))


def _enrollment_rounds(database: Database) -> Callable[[Any], Mapping[str, Round]]:
    settings = EnrollmentSettings(
        database_url=SecretStr(database.urls["enrollment"]),
        kafka_bootstrap_servers=NOWHERE,
        parked_seconds_max=PARKED_SECONDS_MAX,
    )
    return lambda node: _rounds(enrollment.loops.build(node, settings, health()))


def _delivery_rounds(clock: Clock) -> Callable[[Any], Mapping[str, Round]]:
    return lambda node: _rounds(
        delivery.loops.build(node, health(), halt_wait_seconds=HALT_WAIT_SECONDS, monotonic=clock.monotonic)
    )


def _rounds(loops: Sequence[Any]) -> dict[str, Round]:
    found: dict[str, Round] = {}
    for loop in loops:
        if isinstance(loop, Rounds):
            found[loop.__qualname__] = loop.go_round
        else:  # a loop of its own, whose one method of work is told by its class
            owner = loop.__self__
            found[type(owner).__name__] = getattr(owner, "decide_some", None) or owner.erase
    return {name: round_ for name, round_ in found.items() if name not in LEFT_OUT}
