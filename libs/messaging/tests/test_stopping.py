"""A stop finishes what is under way and publishes what was said, and it has a bound, whatever does not answer."""

import asyncio
import signal

import pytest
from chassis.clock import monotonic
from sluice_contracts import topics

from libs.messaging.tests.bench import WAIT_SECONDS_MAX, Bench, Recorder, command, commands_only

pytestmark = pytest.mark.stack


async def test_a_stop_finishes_the_batch_under_way_and_publishes_its_answers(bench: Bench) -> None:
    recorder, begun = Recorder(), asyncio.Event()

    async def linger() -> None:
        begun.set()
        await asyncio.sleep(1.0)

    recorder.before = linger
    async with bench.service(commands_only(recorder)):
        await bench.send(command("a", "c1"))
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS_MAX)

    assert await bench.effects() == {"c1": 1}
    assert await bench.pool.fetchval("select count(*) from outbox") == 0
    assert await bench.answers(1) == {"c1": "accepted"}


async def test_a_batch_that_does_not_end_is_cut_off_and_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messaging.service.BATCH_SECONDS_MAX", 0.5)
    endless, begun = Recorder(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.sleep(600)

    endless.before = hang
    async with bench.service(commands_only(endless)):
        await bench.send(command("a", "c1"))
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS_MAX)
        stopped = monotonic()
    spent = monotonic() - stopped
    cut_off = await bench.effects()
    async with bench.service(commands_only(Recorder())):
        answers = await bench.answers(1)

    assert spent < 20
    assert not cut_off
    assert answers == {"c1": "accepted"}


async def test_a_kafka_that_does_not_answer_holds_up_no_stop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messaging.service.LEAVE_SECONDS_MAX", 1.0)
    stack = bench.servers.stack
    if stack is None:
        pytest.skip("needs a Kafka that it may freeze")
    async with bench.service(commands_only(Recorder())):
        await bench.send(command("a", "c1"))
        await bench.settled(1)
        stack.kill("kafka", signal.SIGSTOP)
        stopped = monotonic()
    spent = monotonic() - stopped
    stack.kill("kafka", signal.SIGCONT)

    assert spent < 20
    assert await bench.answers(1) == {"c1": "accepted"}


async def test_a_service_that_is_told_to_stop_before_it_has_reached_kafka_stops(bench: Bench) -> None:
    bench.servers.kafka[:], addresses = ["127.0.0.1:1"], list(bench.servers.kafka)
    try:
        async with bench.service(commands_only(Recorder())):
            await asyncio.sleep(0.5)
            stopped = monotonic()
        spent = monotonic() - stopped
    finally:
        bench.servers.kafka[:] = addresses

    assert spent < 20
    assert topics.SEQUENCES_COMMANDS in {at.topic for at in bench.since}
