"""`make bench-rebuild`: the console hears so many events, is dropped and built again, and gives the same numbers."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer
from chassis.clock import monotonic, sleep, utc_now
from chassis.health import Health
from chassis.pool import Pool
from chassis.settings import MigrationSettings
from console import app, routes
from console.settings import MIGRATIONS, SCHEMA
from console.store import build, counting
from messaging import MIGRATIONS as MESSAGING
from messaging import Service, derive
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sluice_contracts import topics
from sluice_contracts.base import format_timestamp
from testkit.database import fresh_schema, sluice_url
from testkit.stack import Servers, servers
from testkit.topics import provision

from benchmarks import machine

EVENTS: Final = 1_000_000
MESSAGES_EACH: Final = 8
"""With its entry and its end, an enrollment makes ten events."""
SEQUENCES: Final = 10
CHUNK: Final = 20_000
BUILD_SECONDS_MAX: Final = 3_600.0
LOOK_SECONDS: Final = 0.5

_SIZE: Final = "select pg_total_relation_size('event') + pg_total_relation_size('enrollment')"


@dataclass(frozen=True, slots=True)
class Built:
    """How long building took, and what was counted then."""

    seconds: float
    numbers: dict[str, Any]


@dataclass(slots=True)
class Result:
    """What was measured; in seconds."""

    events: int
    machine: dict[str, Any] = field(default_factory=dict)
    written: float = 0.0
    built: float = 0.0
    dropped: float = 0.0
    dropped_and_built_again: float = 0.0
    megabytes: float = 0.0
    """Rows and indexes."""
    holds: bool = False
    """Whether the numbers were the same."""


def records(events: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Lives of enrollments: topic, key and value of each record, so many in all."""
    began = utc_now() - timedelta(minutes=30)
    for number in range(events):
        person, place = divmod(number, MESSAGES_EACH + 2)
        contact_id, sequence_id = f"contact-{person}", f"bench-{person % SEQUENCES}"
        at = format_timestamp(began + timedelta(milliseconds=number % 1_000_000))
        data: dict[str, Any] = {
            "enrollment_id": derive("bench", sequence_id, contact_id),
            "contact_id": contact_id,
            "sequence_id": sequence_id,
            "version": 1,
            "occurred_at": at,
        }
        if place == 0:
            topic, kind, more = topics.ENROLLMENT_EVENTS, "ContactEnrolled", {"via": "import", "contact_offset": person}
        elif place <= MESSAGES_EACH:
            topic, kind = topics.DELIVERY_EVENTS, "MessageSent"
            more = {
                "message_id": derive("message", contact_id, str(place)),
                "step_id": f"step-{place}",
                "channel": "email",
                "attempt": 1,
                "due_at": at,
                "sent_at": at,
            }
        else:
            topic, kind, more = topics.ENROLLMENT_EVENTS, "EnrollmentCompleted", {}
        envelope = {
            "specversion": "1.0",
            "id": derive("event", str(number)),
            "type": f"{kind}.v1",
            "source": "bench",
            "time": at,
            "datacontenttype": "application/json",
        }
        yield topic, contact_id.encode(), orjson.dumps({**envelope, "data": data | more})


async def write(kafka: list[str], events: int) -> float:
    """Write all records; how long it took."""
    began = monotonic()
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, linger_ms=5, max_batch_size=131_072)
    await producer.start()
    try:
        sent: list[Any] = []
        for topic, key, value in records(events):
            sent.append(await producer.send(topic, value, key=key))
            if len(sent) == CHUNK:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return monotonic() - began


@asynccontextmanager
async def hearing(pool: Pool, kafka: list[str]) -> AsyncIterator[None]:
    """The console's readers, in this process: all that it does to build."""
    stop = asyncio.Event()
    health = Health(registry=CollectorRegistry())
    service = Service(routes=routes.build(), pool=pool, kafka=kafka, health=health)
    running = asyncio.create_task(service.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def built(pool: Pool, events: int, *, began: float) -> Built:
    """Wait until every event is there."""
    async with asyncio.timeout(BUILD_SECONDS_MAX):
        while True:
            async with pool.acquire() as conn:
                if await build.events(conn) == events:
                    seconds = monotonic() - began
                    return Built(seconds, await _numbers(conn))
            await sleep(LOOK_SECONDS)


async def _numbers(conn: Any) -> dict[str, Any]:
    names = [f"bench-{number}" for number in range(SEQUENCES)]
    return {name: (await counting.log(conn, name), await counting.funnel(conn, name)) for name in names}


async def measure(running: Servers, result: Result) -> None:
    """Write, build, drop, build again, and compare the numbers."""
    await provision(running.kafka, Path(__file__).parents[1])
    result.machine = await _described(running)
    events = result.events
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as pool:
        result.written = await write(running.kafka, events)
        print(f"written to Kafka      {events:>9,} events in {result.written:7.1f} s", flush=True)
        began = monotonic()
        async with hearing(pool, running.kafka):
            first = await built(pool, events, began=began)
        _tell("built", first, events)
        began = monotonic()
        await app.rebuild(MigrationSettings(migration_url=SecretStr(running.migration_urls[SCHEMA])))
        result.dropped = monotonic() - began
        print(f"dropped               in {result.dropped:7.1f} s", flush=True)
        async with hearing(pool, running.kafka):
            second = await built(pool, events, began=began)
        _tell("dropped and rebuilt", second, events)
        async with pool.acquire() as conn:
            result.megabytes = await conn.fetchval(_SIZE) / machine.MEGABYTE
        print(f"rows and indexes      {result.megabytes:,.0f} MB")
    result.built, result.dropped_and_built_again = first.seconds, second.seconds
    result.holds = first.numbers == second.numbers
    print("the numbers are the same" if result.holds else "THE NUMBERS DIFFER")
    print(machine.in_words(result.machine))


async def _described(running: Servers) -> dict[str, Any]:
    conn = await asyncpg.connect(sluice_url(running.admin_url))
    try:
        return await machine.described(conn)
    finally:
        await conn.close()


def _tell(what: str, one: Built, events: int) -> None:
    log = [sum(logs[name] for logs, _ in one.numbers.values()) for name in ("enrolled", "completed")]
    rate = events / one.seconds
    print(
        f"{what:<21} {events:>9,} events in {one.seconds:7.1f} s, {rate:,.0f} a second; enrolled, completed: {log}",
        flush=True,
    )


def main() -> int:
    """0 where the numbers are the same."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="a multiple of ten (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    asked = parser.parse_args()
    result = Result(asked.events)
    with servers() as running:
        asyncio.run(measure(running, result))
    if asked.json is not None:
        asked.json.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return 0 if result.holds else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (asyncpg.PostgresError, OSError) as error:
        sys.exit(str(error))
