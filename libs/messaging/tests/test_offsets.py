"""Where a reader stands is what its own schema says, whatever Kafka remembers."""

import asyncio

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from messaging.offsets import OffsetsMoved
from messaging.pipeline import Pipeline
from sluice_contracts import topics
from structlog.testing import capture_logs

from libs.messaging.tests.bench import (
    NAME,
    WAIT_SECONDS_MAX,
    Bench,
    Recorder,
    command,
    commands_only,
    everything,
    state,
    steps,
)

pytestmark = pytest.mark.stack

COMMANDS = topics.SEQUENCES_COMMANDS
EVENTS = topics.SEQUENCES_EVENTS
MOVE = "update consumer_offset set next_offset = next_offset + $2 where topic = $1"


async def test_a_reader_starts_at_the_stored_offset_and_not_at_the_one_that_kafka_has(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(commands_only(recorder)):
        await bench.send(*(command(f"s{n}", f"c{n}") for n in range(20)))
        await bench.settled(20)
    await bench.send(*(command(f"s{n}", f"d{n}") for n in range(20)))
    await _commit_the_end(bench)
    async with bench.service(commands_only(recorder)):
        await bench.settled(40)

    assert set((await bench.effects()).values()) == {1}


async def test_an_offset_that_was_put_back_is_read_again_and_the_inbox_makes_it_harmless(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())):
        await bench.send(*(command(f"s{n}", f"c{n}") for n in range(30)))
        await bench.settled(30)
    first = await bench.read(topics.SEQUENCES_ANSWERS, 30)
    await bench.pool.execute(MOVE, COMMANDS, -5)
    async with bench.service(commands_only(Recorder())):
        await bench.send(command("new", "new"))
        await bench.settled(31)
        answers = await bench.read(topics.SEQUENCES_ANSWERS, 30 + 10 + 1)

    assert set((await bench.effects()).values()) == {1}
    assert {(r.key, r.value) for r in answers} > {(r.key, r.value) for r in first}
    assert len({(r.key, r.value) for r in answers}) == 31


async def test_a_reader_whose_offset_another_has_moved_on_writes_nothing_and_starts_from_there(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(commands_only(recorder)):
        await bench.send(command("a", "c0"), partition=0)
        await bench.settled(1)
        await bench.pool.execute(MOVE + " and partition = 0", COMMANDS, 3)
        await bench.send(*(command("a", f"c{n}") for n in range(1, 6)), partition=0)
        await bench.send(*(command("b", f"d{n}") for n in range(1, 6)), partition=1)
        await bench.settled(1 + 2 + 5)

    assert set(await bench.effects()) == {"c0", "c4", "c5", "d1", "d2", "d3", "d4", "d5"}
    assert set((await bench.effects()).values()) == {1}


@pytest.mark.parametrize("moved_to", [None, 9])
async def test_a_batch_that_loses_its_partition_amid_a_retry_moves_nothing(bench: Bench, moved_to: int | None) -> None:
    topic, key, value, _ = command("a", "c1")
    record = ConsumerRecord(topic, 0, 5, 0, 0, key, value, None, 1, 1, ())
    recorder, positions = Recorder(), {0: 5}
    others: list[asyncio.Task[str]] = []
    routes = commands_only(recorder).topics[COMMANDS]
    standing = "update consumer_offset set next_offset = $2 where topic = $1 and partition = 0"
    await bench.pool.execute(standing, COMMANDS, 5)

    async def rebalance_and_deadlock() -> None:
        recorder.before = None
        positions.pop(0)
        if moved_to is not None:
            positions[0] = moved_to  # another owner got there, and the partition has come back to us since
        others.append(asyncio.create_task(bench.pool.execute(standing, COMMANDS, 9)))
        await bench.until("select exists (select from pg_locks where not granted)")  # behind our lock, first in line
        raise asyncpg.DeadlockDetectedError

    recorder.before = rebalance_and_deadlock
    pipeline = Pipeline(NAME, NAME, bench.pool)
    with pytest.raises(OffsetsMoved):
        await pipeline.handle(routes, [record], positions)
    await asyncio.gather(*others)

    at = "select next_offset from consumer_offset where topic = $1 and partition = 0"
    assert await bench.pool.fetchval(at, COMMANDS) == 9
    assert positions == ({} if moved_to is None else {0: moved_to})
    assert not await bench.effects()


async def test_an_offset_beyond_the_end_of_the_log_stops_its_partition_with_an_alarm(bench: Bench) -> None:
    await bench.pool.execute(MOVE + " and partition = 0", EVENTS, 1_000)
    recorder = Recorder()
    with capture_logs() as lines:
        async with bench.service(everything(recorder)):
            await bench.send(state("a", "e0"), partition=0)
            await bench.send(state("b", "e1"), partition=1)
            await bench.settled(1)
            await bench.until("select beat > 2 from consumer_offset where topic = $1 and partition = 1", EVENTS)

    alarms = [line for line in lines if line["event"] == "log_put_back"]
    assert [(line["log_level"], line["partition"]) for line in alarms] == [("critical", 0)]
    assert recorder.seen == [("b", "e1")]
    assert await bench.pool.fetchval("select beat from consumer_offset where topic = $1 and partition = 0", EVENTS) == 0


async def test_an_offset_below_the_start_of_the_log_is_an_alarm_and_reading_goes_on(bench: Bench) -> None:
    await bench.send(*(steps(f"k{n}", f"lost{n}") for n in range(20)))
    await _delete_all(bench, topics.DELIVERY_EVENTS)
    await bench.send(*(steps(f"k{n}", f"e{n}") for n in range(20)))
    with capture_logs() as lines:
        async with bench.service(everything(Recorder())):
            await bench.settled(20)

    assert any(line["event"] == "records_lost" and line["log_level"] == "error" for line in lines)
    assert set(await bench.effects()) == {f"e{n}" for n in range(20)}


async def test_records_that_vanish_before_a_running_reader_had_them_are_told(bench: Bench) -> None:
    recorder = Recorder()
    blocked, free = asyncio.Event(), asyncio.Event()

    async def block() -> None:
        blocked.set()
        await free.wait()

    recorder.before = block
    with capture_logs() as lines:
        async with bench.service(everything(recorder)):
            await bench.send(steps("k", "e0"), partition=0)
            await asyncio.wait_for(blocked.wait(), WAIT_SECONDS_MAX)
            recorder.before = None
            await bench.send(*(steps("k", f"large{n}", note="x" * 900_000) for n in range(6)), partition=0)
            await _delete_all(bench, topics.DELIVERY_EVENTS)
            await bench.send(steps("k", "e1"), partition=0)
            free.set()
            await bench.until("select exists (select from effect where record = 'e1')")

    assert any(line["event"] == "offsets_skipped" for line in lines)


async def test_gaps_in_the_log_are_no_reason_to_stop(bench: Bench) -> None:
    # A transaction's marker takes an offset and carries no record, at the end of the log too.
    producer = AIOKafkaProducer(bootstrap_servers=bench.servers.kafka, transactional_id="gaps")
    await producer.start()
    async with bench.service(everything(Recorder())):
        for number in range(3):
            async with producer.transaction():
                topic, key, value, _ = state("a", f"e{number}")
                await producer.send(topic, value, key=key)
        await producer.stop()
        await bench.settled(3)
        beat = await bench.pool.fetchval("select min(beat) from consumer_offset where topic = $1", EVENTS)
        await bench.until("select min(beat) > $2 from consumer_offset where topic = $1", EVENTS, beat)

    assert set((await bench.effects()).values()) == {1}


async def test_partitions_that_are_taken_over_again_and_again_repeat_and_lose_nothing(bench: Bench) -> None:
    async with bench.service(everything(Recorder())) as service:
        feeding = asyncio.create_task(_feed(bench, 3_000))
        while not feeding.done():
            for reader in service._readers:
                consumer = reader._consumer()
                if consumer is not None:
                    reader._take_over(set(consumer.assignment()))
            await asyncio.sleep(0.03)
        await feeding
        await bench.settled(3_000)

    assert set((await bench.effects()).values()) == {1}
    assert all(records == sorted(records) for records in (await bench.order()).values())


async def _feed(bench: Bench, count: int) -> None:
    for start in range(0, count, 250):
        await bench.send(*(steps(f"k{n % 30}", f"{n:05}") for n in range(start, start + 250)))


async def _commit_the_end(bench: Bench) -> None:
    """Have Kafka believe that the group has read everything."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bench.servers.kafka, group_id=f"sluice.{NAME}.{COMMANDS}", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [at for at in bench.since if at.topic == COMMANDS]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


async def _delete_all(bench: Bench, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.servers.kafka)
    await admin.start()
    try:
        await admin.delete_records({at: RecordsToDelete(before_offset=-1) for at in bench.since if at.topic == topic})
    finally:
        await admin.close()
