"""Whatever bytes come in: each record is handled, answered, or set aside, and the next one is not kept waiting."""

import orjson
import pytest
from messaging import Batch, Decision, Routes, Tx
from sluice_contracts import topics
from sluice_contracts.sequences import SaveSequence

from libs.messaging.tests.bench import (
    NAME,
    Bench,
    Recorder,
    cloud_event,
    command,
    commands_only,
    contact,
    everything,
    headers_of,
    steps,
)

pytestmark = pytest.mark.stack

NO_TEXT = b"\xff\xfe\x00"
COMMANDS = topics.SEQUENCES_COMMANDS


async def test_a_command_is_read_in_every_mode_of_cloudevents(bench: Bench) -> None:
    topic, key, value, _ = command("a", "structured")
    binary = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"binary"),
        ("ce_source", b"test"),
        ("ce_type", b"PauseSequence.v1"),
        ("content-type", b"application/json"),
    ]
    async with bench.service(commands_only(Recorder())):
        await bench.send(
            (topic, key, value, [("content-type", b"application/cloudevents+json; charset=utf-8")]),
            command("a", "bare"),
            (topic, key, b'{"sequence_id": "a"}', binary),
        )
        answers = await bench.answers(3)

    assert answers == {"structured": "accepted", "bare": "accepted", "binary": "accepted"}


async def test_header_bytes_that_are_no_text_stop_nothing(bench: Bench) -> None:
    topic, key, value, _ = command("a", "c1")
    odd = [("trace", NO_TEXT), ("content-type", NO_TEXT), ("", b""), ("traceparent", NO_TEXT)]
    async with bench.service(commands_only(Recorder())):
        await bench.send((topic, key, value, odd), (topic, key, b"nonsense", odd), command("a", "c2"))
        answers = await bench.answers(2)
        (kept,) = await bench.read(topics.SEQUENCES_QUARANTINE, 1)

    assert answers == {"c1": "accepted", "c2": "accepted"}
    assert kept.headers[: len(odd)] == tuple(odd)


async def test_what_is_no_valid_envelope_is_set_aside_byte_for_byte_and_nobody_is_answered(bench: Bench) -> None:
    no_id = orjson.dumps({"specversion": "1.0", "source": "test", "type": "PauseSequence.v1", "data": {}})
    broken = [
        (COMMANDS, b"a", None, []),
        (COMMANDS, b"a", b"", [("x", b"1"), ("x", b"2")]),
        (COMMANDS, b"a", NO_TEXT, []),
        (COMMANDS, b"a", b"[1, 2]", []),
        (COMMANDS, None, b'{"half": ', []),
        (COMMANDS, NO_TEXT, no_id, []),
        (COMMANDS, b"a", cloud_event("PauseSequence.v1", "c0", "no object"), []),
        (COMMANDS, b"a", b"[" * 2_000, []),
    ]
    async with bench.service(commands_only(Recorder())):
        await bench.send(*broken, command("a", "c1"))
        kept = await bench.read(topics.SEQUENCES_QUARANTINE, len(broken))
        answers = await bench.read(topics.SEQUENCES_ANSWERS, 1)

    def sorting(record: tuple[bytes | None, bytes | None]) -> tuple[bytes, bytes]:
        return record[0] or b"", record[1] or b""

    assert sorted(((r.key, r.value) for r in kept), key=sorting) == sorted(((b[1], b[2]) for b in broken), key=sorting)
    assert all(headers_of(r)["sluice-quarantine-topic"] == COMMANDS.encode() for r in kept)
    assert all({"sluice-quarantine-reason", "sluice-quarantine-offset"} <= set(headers_of(r)) for r in kept)
    assert [r.headers[:2] for r in kept if r.value == b""] == [(("x", b"1"), ("x", b"2"))]
    assert [r.key for r in answers] == [b"c1"]


async def test_a_record_with_neither_key_nor_value_is_set_aside_and_stops_no_relay(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())):
        await bench.send_by_hand(COMMANDS, 0, "x", None, None)
        await bench.send((COMMANDS, b"a", b"nonsense", []), command("a", "c1"))
        kept = await bench.read(topics.SEQUENCES_QUARANTINE, 2)
        answers = await bench.answers(1)

    assert sorted((record.key, record.value) for record in kept if record.key) == [(b"a", b"nonsense")]
    assert [headers_of(r)["sluice-quarantine-null"] for r in kept if r.key is None] == [b"key, value"]
    assert answers == {"c1": "accepted"}


async def test_a_null_value_on_a_compacted_topic_says_that_its_key_is_gone(bench: Bench) -> None:
    recorder = Recorder()
    gone = [(topics.SEQUENCES_EVENTS, b"a", None, []), (topics.CONTACTS_EVENTS, b"p", None, [("why", b"erased")])]
    async with bench.service(everything(recorder)):
        await bench.send(contact("p", "e1"), *gone, contact("q", "e2"), (topics.CONTACTS_EVENTS, NO_TEXT, None, []))
        (kept,) = await bench.read(topics.SEQUENCES_QUARANTINE, 1)
        await bench.settled(2)

    assert sorted(recorder.gone) == ["a", "p"]
    assert (kept.key, kept.value) == (NO_TEXT, None)


async def test_commands_that_are_not_what_they_should_be_are_refused_as_invalid(bench: Bench) -> None:
    data = {"sequence_id": "a"}
    wrong = [
        command("a", "unknown", "PauseSequence.v99"),
        command("a", "fields", resume_at="tomorrow"),
        (COMMANDS, None, cloud_event("PauseSequence.v1", "keyless", data), []),
        (COMMANDS, b"b", cloud_event("PauseSequence.v1", "other-key", data), []),
        (COMMANDS, NO_TEXT, cloud_event("PauseSequence.v1", "odd-key", data), []),
        (COMMANDS, b"a" * 300, cloud_event("PauseSequence.v1", "long-key", data), []),
    ]
    async with bench.service(commands_only(Recorder())):
        await bench.send(*wrong, command("a", "good"))
        answers = await bench.answers(7)

    assert answers.pop("good") == "accepted"
    assert set(answers.values()) == {"invalid"}
    assert len(answers) == len(wrong)
    assert await bench.pool.fetchval("select count(*) from outbox") == 0


async def test_an_answer_names_the_place_and_the_rule_but_no_value(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())):
        await bench.send(command("a", "c1", resume_at="a secret", reason=["a secret"]))
        (answer,) = await bench.read(topics.SEQUENCES_ANSWERS, 1)

    faults = orjson.loads(answer.value)["data"]["faults"]
    assert sorted(fault["place"] for fault in faults) == ["reason", "resume_at"]
    assert b"secret" not in answer.value


async def test_contacts_with_a_wrong_key_are_set_aside(bench: Bench) -> None:
    recorder = Recorder()
    topic, _, value, headers = contact("p", "e1")
    async with bench.service(everything(recorder)):
        await bench.send((topic, b"", value, headers), (topic, b"q", value, headers), contact("r", "e2"))
        kept = await bench.read(topics.SEQUENCES_QUARANTINE, 2)
        await bench.settled(1)

    assert sorted((r.key, r.value) for r in kept) == [(b"", value), (b"q", value)]
    assert recorder.seen == [("r", "e2")]


async def test_types_that_an_events_topic_may_yet_get_are_passed_over(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(everything(recorder)):
        await bench.send(steps("p", "e1", "SomethingNew.v3"), steps("p", "e2"))
        await bench.settled(1)

    assert recorder.seen == [("p", "e2")]
    assert await _place(bench, topics.DELIVERY_EVENTS) == 2


async def test_records_of_900_kib_are_handled_and_answered(bench: Bench) -> None:
    sizes: list[int] = []

    async def save(batch: Batch[SaveSequence], tx: Tx) -> None:
        sizes.extend(len(message.data.definition["text"]) for message in batch)
        tx.emit(batch.decide(lambda _: Decision(result={"revision": 1})))

    routes = Routes(NAME)
    routes.on(SaveSequence, save)
    large = "x" * 900 * 1024
    await bench.send(*(command(f"s{n}", f"c{n}", "SaveSequence.v1", definition={"text": large}) for n in range(24)))
    async with bench.service(routes):
        answers = await bench.answers(24)

    assert set(answers.values()) == {"accepted"}
    assert sizes == [900 * 1024] * 24


async def test_a_batch_of_poison_records_of_900_kib_is_set_aside_whole(bench: Bench) -> None:
    nonsense = [(COMMANDS, b"k%d" % n, b"%03d" % n + b"\x00" * 900 * 1024, [("n", b"%d" % n)]) for n in range(24)]
    await bench.send(*nonsense, command("a", "c1"))
    async with bench.service(commands_only(Recorder())):
        kept = await bench.read(topics.SEQUENCES_QUARANTINE, 24)
        answers = await bench.answers(1)

    assert sorted((r.key, r.value) for r in kept) == sorted((key, value) for _, key, value, _ in nonsense)
    assert answers == {"c1": "accepted"}


async def _place(bench: Bench, topic: str) -> int:
    """How many records of a topic have been dealt with in this test."""
    since = sum(offset for at, offset in bench.since.items() if at.topic == topic)
    at = await bench.pool.fetchval("select sum(next_offset)::bigint from consumer_offset where topic = $1", topic)
    return int(at) - since
