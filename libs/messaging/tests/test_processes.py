"""Several processes of one service, and processes that die: every record has its effect exactly once."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
from chassis.clock import monotonic
from messaging import Service
from messaging.consume import Reader
from sluice_contracts import topics

from libs.messaging.tests.bench import NAME, ROOT, WAIT_SECONDS_MAX, Bench, Recorder, command, commands_only

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
    for die_after in (1, 2):
        async with process(bench, die_after=die_after) as dying:
            await asyncio.wait_for(dying.wait(), WAIT_SECONDS_MAX)
            assert dying.returncode == -9
    done = sum((await bench.effects()).values())
    async with process(bench):
        await answers_once_each(bench, 1_500)

    assert 0 < done < 1_500


async def test_a_second_member_that_joins_amid_batches_repeats_and_loses_nothing(bench: Bench) -> None:
    async def dawdle() -> None:
        await asyncio.sleep(0.05)

    one, other = Recorder(before=dawdle), Recorder(before=dawdle)
    async with bench.service(commands_only(one)) as first:
        feeding = asyncio.create_task(feed(bench, 3_000))
        await bench.until("select count(*) > 200 from effect")
        async with bench.service(commands_only(other)) as second:
            await until_spread([first, second])
            await feeding
            await answers_once_each(bench, 3_000)
            assert other.seen
        await bench.send(*(command(f"s{n}", f"{3_000 + n:05}") for n in range(40)))
        await answers_once_each(bench, 3_040)

    assert all(records == sorted(records) for records in (await bench.order()).values())


async def test_a_member_without_a_partition_is_spare_and_does_not_count_as_stuck(bench: Bench) -> None:
    routes = commands_only(Recorder())
    async with bench.service(routes) as first, bench.service(routes) as second, bench.service(routes) as third:
        await until_spread([first, second, third])
        (spare,) = [reader for reader in map(reader_of, [first, second, third]) if not shares(reader)]
        spare._progress = monotonic() - 30
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while monotonic() - spare._progress > 5:
                await asyncio.sleep(0.05)


async def feed(bench: Bench, count: int) -> None:
    """Send commands of 80 keys, a few at a time; their ids sort as they were sent."""
    for start in range(0, count, 100):
        await bench.send(*(command(f"s{n % 80}", f"{n:05}") for n in range(start, start + 100)))


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
