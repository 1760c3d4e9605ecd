"""Every command gets exactly one answer, and the same one again."""

import orjson
import pytest
from messaging import Decision
from sluice_contracts import topics

from libs.messaging.tests.bench import Bench, Recorder, command, commands_only

pytestmark = pytest.mark.stack


async def test_every_command_gets_one_answer_keyed_by_its_id(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())):
        await bench.send(command("a", "c1"), command("a", "c2", reason="refuse"), command("b", "c3"))
        answers = await bench.read(topics.SEQUENCES_ANSWERS, 3)

    by_key = {record.key.decode(): orjson.loads(record.value) for record in answers}
    assert {key: value["type"] for key, value in by_key.items()} == {
        "c1": "CommandAccepted.v1",
        "c2": "CommandRejected.v1",
        "c3": "CommandAccepted.v1",
    }
    assert by_key["c1"]["data"]["result"] == {"epoch": 1}
    assert by_key["c2"]["data"]["code"] == "wrong_state"
    assert all(value["correlationid"] == key for key, value in by_key.items())


async def test_a_repeated_command_gets_the_same_answer_and_is_not_handled_again(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(commands_only(recorder)):
        await bench.send(command("a", "c1"))
        (first,) = await bench.read(topics.SEQUENCES_ANSWERS, 1)
        await bench.send(command("a", "c1", reason="refuse"))
        _, again = await bench.read(topics.SEQUENCES_ANSWERS, 2)

    assert (again.key, again.value) == (first.key, first.value)
    assert recorder.seen == [("a", "c1")]


async def test_a_command_that_is_twice_in_one_batch_is_handled_once_and_answered_twice_alike(bench: Bench) -> None:
    recorder = Recorder()
    await bench.send(command("a", "c1"), command("a", "c1"), command("a", "c2", reason="refuse"), command("a", "c2"))
    async with bench.service(commands_only(recorder)):
        answers = await bench.read(topics.SEQUENCES_ANSWERS, 4)

    assert len({record.value for record in answers}) == 2
    assert recorder.seen == [("a", "c1"), ("a", "c2")]


async def test_the_same_id_from_another_source_is_another_command(bench: Bench) -> None:
    recorder = Recorder()
    topic, key, value, headers = command("a", "c1")
    assert value is not None
    other = orjson.dumps(orjson.loads(value) | {"source": "elsewhere"})
    async with bench.service(commands_only(recorder)):
        await bench.send((topic, key, value, headers), (topic, key, other, headers))
        answers = await bench.read(topics.SEQUENCES_ANSWERS, 2)

    assert [orjson.loads(record.value)["data"]["command"]["source"] for record in answers] == ["test", "elsewhere"]
    assert len(recorder.seen) == 2


async def test_a_deferred_command_is_answered_later_and_repeats_wait_with_it(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(commands_only(recorder)) as service:
        await bench.send(command("a", "c1", reason="defer"), command("a", "c1", reason="defer"), command("b", "c2"))
        await bench.send(command("a", "c1", reason="defer"), command("a", "c3"))
        await bench.settled(3)
        before = await bench.answers(2)
        async with service.begin() as tx:
            await tx.answer(recorder.causes["c1"], Decision(result={"epoch": 7}), topic=topics.SEQUENCES_COMMANDS)
        await bench.read(topics.SEQUENCES_ANSWERS, 3)
        await bench.send(command("a", "c1", reason="defer"))
        answers = await bench.read(topics.SEQUENCES_ANSWERS, 4)

    late = [record for record in answers if record.key == b"c1"]
    assert set(before) == {"c2", "c3"}
    assert len(late) == 2
    assert late[0].value == late[1].value
    assert orjson.loads(late[0].value)["data"]["result"] == {"epoch": 7}


async def test_a_deferred_command_that_two_want_to_answer_gets_one_answer(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(commands_only(recorder)) as service:
        await bench.send(command("a", "c1", reason="defer"))
        await bench.settled(1)
        for epoch in (7, 8):
            async with service.begin() as tx:
                cause = recorder.causes["c1"]
                await tx.answer(cause, Decision(result={"epoch": epoch}), topic=topics.SEQUENCES_COMMANDS)
        await bench.send(command("b", "c2"))
        first, second = await bench.read(topics.SEQUENCES_ANSWERS, 2)

    values = {record.key: orjson.loads(record.value) for record in (first, second)}
    assert set(values) == {b"c1", b"c2"}
    assert values[b"c1"]["data"]["result"] == {"epoch": 7}
