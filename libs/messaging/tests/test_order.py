"""Batches are large, and still no key's records pass each other."""

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from messaging import Batch, Decision, Routes, Tx, pipeline
from messaging.inbound import Inbound, read
from messaging.pipeline import Pipeline
from messaging.routes import WEIGHT_MAX
from sluice_contracts import topics
from sluice_contracts.sequences import PauseSequence, ResumeSequence

from libs.messaging.tests.bench import EFFECT, NAME, Bench, Recorder, command, commands_only, everything, see, steps

pytestmark = pytest.mark.stack


class Diary:
    """Handlers of two types that note what they were given."""

    def __init__(self) -> None:
        self.routes = Routes(NAME)
        self.routes.on(PauseSequence, self.take)
        self.routes.on(ResumeSequence, self.take)
        self.calls: list[list[tuple[str, str]]] = []

    async def take(self, batch: Batch[PauseSequence | ResumeSequence], tx: Tx) -> None:
        self.calls.append([(message.key, message.cause.id) for message in batch])
        await tx.conn.executemany(EFFECT, [(message.cause.id, message.key) for message in batch])
        tx.emit(batch.decide(lambda _: Decision(result={"epoch": 1})))


async def test_the_kth_record_of_every_key_is_handled_before_the_next_of_any(bench: Bench) -> None:
    diary = Diary()
    kinds = {"a1": "Pause", "a2": "Resume", "a3": "Pause", "b1": "Resume", "b2": "Resume", "c1": "Pause"}
    records = []
    for offset, (name, kind) in enumerate(kinds.items()):
        topic, key, value, headers = command(name[0], name, f"{kind}Sequence.v1")
        records.append(ConsumerRecord(topic, 0, offset, 0, 0, key, value, None, 1, 1, headers))
    positions = {0: 0}
    await bench.owner.execute("update consumer_offset set next_offset = 0 where topic = $1", topics.SEQUENCES_COMMANDS)
    await Pipeline(NAME, NAME, bench.pool).handle(diary.routes.topics[topics.SEQUENCES_COMMANDS], records, positions)

    assert [sorted(name for _, name in call) for call in diary.calls] == [["a1", "c1"], ["b1"], ["a2", "b2"], ["a3"]]
    assert positions == {0: 6}


async def test_more_records_than_a_transaction_takes_are_handled_in_order_and_in_bounded_transactions(
    bench: Bench,
) -> None:
    diary = Diary()
    positions = await handle(bench, diary.routes, 2 * WEIGHT_MAX + 300)

    handled = [name for call in diary.calls for _, name in call]
    assert handled == [f"{offset:04}" for offset in range(2 * WEIGHT_MAX + 300)]
    assert [len(call) for call in diary.calls] == [WEIGHT_MAX, WEIGHT_MAX, 300]
    assert positions == {0: 2 * WEIGHT_MAX + 300}


async def test_what_follows_is_read_while_a_transaction_is_under_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def counted(*arguments: Any, **named: Any) -> Inbound:
        nonlocal count
        count += 1
        return read(*arguments, **named)

    async def until_all_is_read() -> None:
        await see(lambda: count == WEIGHT_MAX + 10)

    monkeypatch.setattr(pipeline, "read", counted)
    recorder = Recorder(before=until_all_is_read)
    await handle(bench, commands_only(recorder), WEIGHT_MAX + 10)

    assert recorder.batches == [WEIGHT_MAX, 10]


async def test_a_record_that_fails_behind_others_is_set_aside_alone(bench: Bench) -> None:
    recorder = Recorder()
    guilty = WEIGHT_MAX + 7
    await handle(bench, commands_only(recorder), WEIGHT_MAX + 20, reasons={guilty: "poison"})

    done = await bench.effects()
    assert sorted(done) == [f"{offset:04}" for offset in range(WEIGHT_MAX + 20) if offset != guilty]
    assert set(done.values()) == {1}


async def test_an_event_that_comes_again_is_handled_once(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(everything(recorder)):
        await bench.send(*(steps("k", f"e{n}") for n in (1, 2, 1)), partition=0)
        await bench.settled(2)
        await bench.send(*(steps("k", f"e{n}") for n in (2, 3, 1)), partition=0)
        await bench.settled(3)

    assert await bench.effects() == {"e1": 1, "e2": 1, "e3": 1}


async def handle(
    bench: Bench,
    routes: Routes,
    count: int,
    *,
    reasons: Mapping[int, str] = MappingProxyType({}),
) -> dict[int, int]:
    """One poll of `count` commands about as many sequences, from the beginning of a partition; where it ended."""
    records = []
    for offset in range(count):
        topic, key, value, headers = command(f"k{offset}", f"{offset:04}", reason=reasons.get(offset))
        records.append(ConsumerRecord(topic, 0, offset, 0, 0, key, value, None, 1, 1, headers))
    await bench.owner.execute("update consumer_offset set next_offset = 0 where topic = $1", topics.SEQUENCES_COMMANDS)
    positions = {0: 0}
    await Pipeline(NAME, NAME, bench.pool).handle(routes.topics[topics.SEQUENCES_COMMANDS], records, positions)
    return positions


async def test_records_of_a_key_have_their_effects_in_the_order_in_which_they_came(bench: Bench) -> None:
    diary = Diary()
    dice = random.Random(7)
    keys = [f"k{dice.randrange(25)}" for _ in range(1_200)]
    kinds = [dice.choice(["PauseSequence.v1", "ResumeSequence.v1"]) for _ in keys]
    sent = [command(key, f"{n:04}", kind) for n, (key, kind) in enumerate(zip(keys, kinds, strict=True))]
    await bench.send(*sent[:900])
    async with bench.service(diary.routes):
        await bench.send(*sent[900:])
        await bench.settled(1_200)

    found = await bench.order()
    assert all(records == sorted(records) for records in found.values())
    assert sum(map(len, found.values())) == 1_200
    assert all(len({key for key, _ in call}) == len(call) for call in diary.calls)
    assert len(diary.calls) < 800
