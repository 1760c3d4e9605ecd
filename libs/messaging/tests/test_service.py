"""The messaging core on real Kafka and Postgres."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from chassis.health import Health
from messaging import MIGRATIONS, Batch, Decision, Fence, Refused, Routes, Service, Tx
from prometheus_client import CollectorRegistry
from sluice_contracts import topics
from sluice_contracts.sequences import PauseSequence, SequencePaused
from testkit import topics as topic_kit
from testkit.database import fresh_schema
from testkit.stack import Servers

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[3]
WAIT_SECONDS_MAX = 20


def command(key: str, command_id: str, **data: Any) -> tuple[str, bytes, bytes, list[tuple[str, bytes]]]:
    envelope = {
        "specversion": "1.0",
        "id": command_id,
        "source": "test",
        "type": "PauseSequence.v1",
        "data": {"sequence_id": key, **data},
    }
    return topics.SEQUENCES_COMMANDS, key.encode(), orjson.dumps(envelope), []


class Recorder:
    """A service of one handler: it accepts pauses, except those whose reason says otherwise."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.batches: list[int] = []

    async def pause(self, batch: Batch[PauseSequence], tx: Tx) -> None:
        self.batches.append(len(batch))
        decided = batch.decide(self._decide)
        tx.emit(decided)

    def _decide(self, message: Any) -> Decision[None]:
        reason = message.data.reason
        if reason == "refuse":
            raise Refused("wrong_state", "not now")
        if reason == "poison":
            raise ZeroDivisionError
        self.seen.append(message.key)
        return Decision(result={"epoch": 1})


@asynccontextmanager
async def running_service(running: Servers, routes: Routes, **options: Any) -> AsyncIterator[Service]:
    async with fresh_schema(running, "sequences", MIGRATIONS) as pool:
        service = Service(routes=routes, pool=pool, kafka=running.kafka, health=Health(registry=CollectorRegistry()))
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            yield service
        finally:
            stop.set()
            await task


async def read(running: Servers, topic: str, *, count: int) -> list[Any]:
    """The first `count` records of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=running.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[Any] = []
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while len(found) < count:
                found.append(await consumer.getone())
        return found
    finally:
        await consumer.stop()


@pytest.fixture
async def clean(running: Servers) -> Servers:
    await topic_kit.provision(running.kafka, ROOT)
    await topic_kit.empty(
        running.kafka, [topics.SEQUENCES_COMMANDS, topics.SEQUENCES_ANSWERS, topics.SEQUENCES_QUARANTINE]
    )
    return running


def routed(recorder: Recorder) -> Routes:
    routes = Routes("sequences")
    routes.on(PauseSequence, recorder.pause)
    return routes


async def test_every_command_gets_one_answer_keyed_by_its_id(clean: Servers) -> None:
    recorder = Recorder()
    async with running_service(clean, routed(recorder)):
        await topic_kit.produce(
            clean.kafka, [command("a", "c1"), command("a", "c2", reason="refuse"), command("b", "c3")]
        )
        answers = await read(clean, topics.SEQUENCES_ANSWERS, count=3)

    by_key = {record.key.decode(): orjson.loads(record.value) for record in answers}
    assert {key: value["type"] for key, value in by_key.items()} == {
        "c1": "CommandAccepted.v1",
        "c2": "CommandRejected.v1",
        "c3": "CommandAccepted.v1",
    }
    assert by_key["c1"]["data"]["result"] == {"epoch": 1}
    assert by_key["c2"]["data"]["code"] == "wrong_state"
    assert all(value["correlationid"] == key for key, value in by_key.items())


async def test_a_poison_record_among_good_ones_is_set_aside_and_answered(clean: Servers) -> None:
    recorder = Recorder()
    commands = [command(f"s{n}", f"c{n}") for n in range(100)]
    commands.insert(50, command("bad", "poison", reason="poison"))
    async with running_service(clean, routed(recorder)):
        await topic_kit.produce(clean.kafka, commands)
        answers = await read(clean, topics.SEQUENCES_ANSWERS, count=101)
        (kept,) = await read(clean, topics.SEQUENCES_QUARANTINE, count=1)

    codes = {r.key.decode(): orjson.loads(r.value)["data"].get("code") for r in answers}
    assert codes.pop("poison") == "internal"
    assert len(codes) == 100
    assert set(codes.values()) == {None}
    assert (kept.key, kept.value) == commands[50][1:3]
