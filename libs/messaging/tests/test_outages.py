"""Servers that go away and come back: nothing is lost, nothing repeated, nothing quarantined, and nobody need help."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from chassis.clock import monotonic
from devstack.identity import ProcessId
from devstack.stack import Stack
from sluice_contracts import topics
from structlog.testing import capture_logs
from testkit import topics as topic_kit

from libs.messaging.tests.bench import (
    USED,
    WAIT_SECONDS_MAX,
    Bench,
    Recorder,
    command,
    commands_only,
    everything,
    see,
    state,
    steps,
)

pytestmark = pytest.mark.stack

BACK_SECONDS_MAX = 90.0
VOUCHED = "select count(*) = max(partitions) from consumer_offset where topic = $1 and beat > $2"


@pytest.fixture
async def stack(bench: Bench) -> AsyncIterator[Stack]:
    """Servers that may be killed; they are back before the next test begins."""
    if bench.servers.stack is None:
        pytest.skip("needs servers that it may kill")
    yield bench.servers.stack
    await kafka_back(bench, bench.servers.stack)
    await bench.until("select true", seconds_max=BACK_SECONDS_MAX)


async def nothing_quarantined(bench: Bench) -> bool:
    """The quarantine ends where it did when the test began."""
    now = await topic_kit.ends(bench.servers.kafka, USED)
    return all(now[at] == bench.since[at] for at in now if at.topic == topics.SEQUENCES_QUARANTINE)


async def kafka_back(bench: Bench, stack: Stack, *, killed: ProcessId | None = None) -> None:
    """Wait until Kafka takes records, another process than the one that was killed."""

    def ready() -> bool:
        return any(one.name == "kafka" and one.state == "ready" and one.id != killed for one in stack.processes())

    await see(ready)
    deadline = monotonic() + BACK_SECONDS_MAX
    while True:
        try:
            await topic_kit.ends(bench.servers.kafka, USED)
        except Exception:
            if monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_kafka_goes_away_and_comes_back(bench: Bench, stack: Stack, number: signal.Signals) -> None:
    with capture_logs() as lines:
        async with bench.service(everything(Recorder())) as service:
            await send_hundreds(bench, "before")
            await bench.settled(200)
            beat = await bench.pool.fetchval("select max(beat) from consumer_offset")
            killed = stack.kill("kafka", number)
            await see(lambda: not killed.alive())
            async with service.begin() as tx:
                tx.tombstone(topics.SEQUENCES_EVENTS, "said-meanwhile")
            async with bench.service(commands_only(Recorder())):  # one that starts while Kafka is away
                await kafka_back(bench, stack, killed=killed)
                await send_hundreds(bench, "after")
                await bench.send(state("a", "g1"))
                await bench.settled(401, seconds_max=BACK_SECONDS_MAX)
                await bench.until(VOUCHED, topics.SEQUENCES_EVENTS, beat, seconds_max=BACK_SECONDS_MAX)
        answers = await bench.answers(200)
        said = await bench.read(topics.SEQUENCES_EVENTS, 2)

    assert set((await bench.effects()).values()) == {1}
    assert set(answers.values()) == {"accepted"}
    assert len(answers) == 200
    assert {record.key for record in said} == {b"a", b"said-meanwhile"}
    assert any(line["event"] == "kafka_unreachable" for line in lines)
    assert await nothing_quarantined(bench)


async def send_hundreds(bench: Bench, name: str) -> None:
    """A hundred commands and a hundred events."""
    await bench.send(*(command(f"s{n}", f"{name}-c{n}") for n in range(100)))
    await bench.send(*(steps(f"k{n}", f"{name}-e{n}") for n in range(100)))


async def test_postgres_crashes_amid_a_batch(bench: Bench, stack: Stack) -> None:
    recorder, begun, killed = Recorder(), asyncio.Event(), asyncio.Event()

    async def wait_for_the_crash() -> None:
        begun.set()
        await killed.wait()

    recorder.before = wait_for_the_crash
    await bench.send(*(command(f"s{n}", f"c{n}") for n in range(300)))
    async with bench.service(commands_only(recorder)):
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS_MAX)
        stack.kill("postgres", signal.SIGQUIT)
        recorder.before = None
        killed.set()
        await bench.send(*(command(f"s{n}", f"d{n}") for n in range(100)))
        await bench.settled(400, seconds_max=BACK_SECONDS_MAX)
        answers = await bench.answers(400)

    assert set((await bench.effects()).values()) == {1}
    assert set(answers.values()) == {"accepted"}
    assert len(answers) == 400
    assert await nothing_quarantined(bench)


async def test_a_reader_whose_consumer_hangs_is_started_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messaging.consume.STALL_SECONDS_MAX", 3.0)
    async with bench.service(commands_only(Recorder())) as service:
        await bench.send(command("a", "c1"))
        await bench.settled(1)
        (reader,) = service._readers
        hung = reader._consumer()
        assert hung is not None
        hung._fetcher._fetch_task.cancel()
        await bench.send(command("a", "c2"))
        await bench.settled(2)

    assert set((await bench.effects()).values()) == {1}


async def test_a_reader_whose_consumer_lets_a_cancellation_out_when_it_is_stopped_is_started_anew_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messaging.consume.STALL_SECONDS_MAX", 3.0)
    async with bench.service(commands_only(Recorder())) as service:
        await bench.send(command("a", "c1"))
        await bench.settled(1)
        hung = service._readers[0]._consumer()
        assert hung is not None
        fetching = asyncio.create_task(asyncio.sleep(60))  # as a fetch under way, which `stop` cancels and awaits
        hung._fetcher._pending_tasks.add(fetching)
        hung._fetcher._fetch_task.cancel()
        await see(fetching.cancelled)
        await bench.send(command("a", "c2"))
        await bench.settled(2)

        assert hung._client._sync_task is None  # closed: it holds no connection any more

    assert set((await bench.effects()).values()) == {1}


async def test_a_batch_that_waits_for_the_database_does_not_count_as_a_reader_that_hangs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messaging.consume.STALL_SECONDS_MAX", 0.5)
    recorder, begun = Recorder(), asyncio.Event()

    async def linger() -> None:
        begun.set()
        await asyncio.sleep(1.5)

    recorder.before = linger
    async with bench.service(commands_only(recorder)) as service:
        await bench.send(command("a", "c1"))
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS_MAX)
        consumer = service._readers[0]._consumer()
        await bench.settled(1)

        assert service._readers[0]._consumer() is consumer

    assert await bench.effects() == {"c1": 1}
