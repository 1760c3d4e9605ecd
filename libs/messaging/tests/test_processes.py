"""Several processes of one service, and processes that die: every record has its effect exactly once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
from chassis.clock import monotonic
from messaging import Service
from messaging.consume import Reader
from sluice_contracts import topics
from testkit.topics import RawRecord

from libs.messaging.tests.bench import NAME, ROOT, WAIT_SECONDS_MAX, Bench, Recorder, command, commands_only, see

pytestmark = pytest.mark.stack


@asynccontextmanager
async def process(bench: Bench, *, die_after: int = 0) -> AsyncIterator[asyncio.subprocess.Process]:
    """The small service of `program`, as a process; killed at the latest when the block ends."""
    environment = os.environ | {
        "SLUICE_DATABASE": bench.servers.urls[NAME],
        "SLUICE_KAFKA": orjson.dumps(bench.servers.kafka).decode(),
        "SLUICE_DIE_AFTER": str(die_after),
    }
    program = (sys.executable, "-m", "libs.messaging.tests.program")
    running = await asyncio.create_subprocess_exec(
        *program, cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def answers_once_each(bench: Bench, count: int) -> None:
    """Every command has had its effect once, and all its answers are one."""
    await bench.settled(count)
    records = await bench.read(topics.SEQUENCES_ANSWERS, count)
    assert set((await bench.effects()).values()) == {1}
    assert len(await bench.effects()) == count
    values: dict[bytes, set[bytes]] = {}
    for record in records:
        values.setdefault(record.key, set()).add(record.value)
    assert all(len(answers) == 1 for answers in values.values())


async def test_a_process_that_is_killed_between_the_two_commits_repeats_nothing(bench: Bench) -> None:
    await bench.send(*(command(f"s{n % 50}", f"c{n}") for n in range(1_500)))
    async with process(bench, die_after=1) as dying:
        await asyncio.wait_for(dying.wait(), WAIT_SECONDS_MAX)
        assert dying.returncode == -9
    done = sum((await bench.effects()).values())
    async with process(bench):
        await answers_once_each(bench, 1_500)

    assert 0 < done < 1_500


async def test_a_second_member_that_joins_amid_batches_repeats_and_loses_nothing(bench: Bench) -> None:
    async def dawdle() -> None:
        await asyncio.sleep(0.03)

    one, other, sent = Recorder(before=dawdle), Recorder(before=dawdle), 0
    async with bench.service(commands_only(one)):
        await bench.send(*commands(0, 300))
        await see(lambda: bool(one.seen))
        async with bench.service(commands_only(other)):
            sent = await feed(bench, 300, until=lambda: len(other.seen) > 200)
            await answers_once_each(bench, sent)
        await bench.send(*commands(sent, sent + 100))
        await answers_once_each(bench, sent + 100)

    assert all(records == sorted(records) for records in (await bench.order()).values())


async def test_a_member_without_a_partition_is_spare_and_does_not_count_as_stuck(bench: Bench) -> None:
    routes = commands_only(Recorder())
    async with bench.service(routes) as first, bench.service(routes) as second, bench.service(routes) as third:
        await until_spread([first, second, third])
        (spare,) = [reader for reader in map(reader_of, [first, second, third]) if not shares(reader)]
        consumer = spare._consumer()
        spare._progress = monotonic() - 30
        await see(lambda: monotonic() - spare._progress < 5)

        assert spare._consumer() is consumer


def commands(start: int, end: int) -> list[RawRecord]:
    """Commands of 80 keys; their ids sort as they are sent."""
    return [command(f"s{n % 80}", f"{n:05}") for n in range(start, end)]


async def feed(bench: Bench, sent: int, *, until: Callable[[], bool]) -> int:
    """Go on sending commands, a few at a time, until it is true; how many there are then."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not until():
            await bench.send(*commands(sent, sent + 50))
            sent += 50
    return sent


def reader_of(service: Service) -> Reader:
    """The one reader of a service."""
    (reader,) = service._readers
    return reader


def shares(reader: Reader) -> int:
    """How many partitions a reader has, and reads."""
    consumer = reader._consumer()
    return 0 if consumer is None else len([at for at in consumer.assignment() if at.partition in reader._positions])


async def until_spread(services: Sequence[Service]) -> None:
    """Wait until the topic's two partitions are with two of these services, and the group is at rest."""
    wanted = sorted([1, 1] + [0] * (len(services) - 2))
    rested = monotonic()
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while monotonic() - rested < 0.5:
            await asyncio.sleep(0.02)
            if sorted(shares(reader_of(service)) for service in services) != wanted:
                rested = monotonic()
