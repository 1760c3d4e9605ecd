"""A record that cannot be read may be a stop: its fence is applied, or its partition is no longer vouched for."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sluice_contracts import topics
from testkit.topics import RawRecord

from libs.messaging.tests.bench import WAIT_SECONDS_MAX, Bench, Recorder, everything, state

pytestmark = pytest.mark.stack

EVENTS = topics.SEQUENCES_EVENTS
VOUCHED = """
select count(*) = max(partitions) from consumer_offset where topic = $1 and beat > $2
"""
WITHHELD = "select array_agg(partition) filter (where withheld) from consumer_offset where topic = $1"


STANDING = """
select coalesce(sum(beat) filter (where withheld), 0)::bigint as held, sum(beat)::bigint as beats
from consumer_offset where topic = $1
"""


def fail_on(recorder: Recorder, record: str) -> Callable[[], Awaitable[None]]:
    """For `Recorder.before`: fails each batch that holds the record."""

    async def fail() -> None:
        if any(seen == record for _, seen in recorder.seen[-recorder.batches[-1] :]):
            raise ZeroDivisionError

    return fail


async def test_a_reader_that_has_caught_up_says_so_several_times_a_second(bench: Bench) -> None:
    async with bench.service(everything(Recorder())):
        await bench.until(VOUCHED, EVENTS, 2)
        await bench.send(state("a", "e1"))
        await bench.settled(1)
        beat = await bench.pool.fetchval("select max(beat) from consumer_offset where topic = $1", EVENTS)
        await bench.until(VOUCHED, EVENTS, beat)

    assert await bench.pool.fetchval(WITHHELD, EVENTS) is None


async def test_an_unreadable_record_closes_what_it_may_have_closed(bench: Bench) -> None:
    recorder = Recorder()
    topic, key, value, headers = state("a", "e1", epoch=9, paused_at="some day")
    async with bench.service(everything(recorder)):
        await bench.send((topic, key, value, headers), (topic, b"b", b"\xff nonsense", []), state("c", "e2"))
        await bench.read(topics.SEQUENCES_QUARANTINE, 2)
        await bench.settled(3)

    fences = {fence.key: fence for fence in recorder.fences}
    assert set(fences) == {"a", "b"}
    assert (fences["a"].state_version, fences["a"].status, fences["a"].epoch) == (5, "paused", 9)
    assert (fences["b"].state_version, fences["b"].status, fences["b"].epoch) == (None, None, None)
    assert await bench.pool.fetchval(WITHHELD, EVENTS) is None


async def test_a_record_that_its_handler_fails_on_closes_too_and_so_does_a_type_that_nobody_knows(bench: Bench) -> None:
    recorder = Recorder()
    async with bench.service(everything(recorder)):
        recorder.before = fail_on(recorder, "e1")
        await bench.send(state("a", "e1"), state("b", "e2", "SequenceFrozen.v1"), state("c", "e3"))
        await bench.read(topics.SEQUENCES_QUARANTINE, 2)
        await bench.settled(3)

    assert {fence.key for fence in recorder.fences} == {"a", "b"}
    assert (await bench.effects())["fence"] == 2


async def test_fences_keep_the_order_of_their_key(bench: Bench) -> None:
    nonsense: RawRecord = (EVENTS, b"a", b"nonsense", [])
    await bench.send(state("a", "e1"), nonsense, state("a", "e2"), nonsense, state("b", "e3"))
    async with bench.service(everything(Recorder())):
        await bench.settled(5)

    assert (await bench.order())["a"] == ["e1", "fence", "e2", "fence"]


# (A broker lets no record without a key onto a compacted topic.)
@pytest.mark.parametrize("key", [b"", b"\xff\xfe"])
async def test_where_not_even_the_key_can_be_read_the_partition_is_no_longer_vouched_for(
    bench: Bench, key: bytes
) -> None:
    async with bench.service(everything(Recorder())):
        await bench.until(VOUCHED, EVENTS, 0)
        await bench.send((EVENTS, key, b"nonsense", []), partition=1)
        await bench.read(topics.SEQUENCES_QUARANTINE, 1)
        before = await bench.pool.fetchrow(STANDING, EVENTS)
        assert before is not None
        await bench.until("select sum(beat) > $2 + 4 from consumer_offset where topic = $1", EVENTS, before["beats"])
        after = await bench.pool.fetchrow(STANDING, EVENTS)

    assert await bench.pool.fetchval(WITHHELD, EVENTS) == [1]
    assert after is not None
    assert after["held"] == before["held"]


async def test_where_the_fence_itself_fails_the_record_is_set_aside_and_its_partition_no_longer_vouched_for(
    bench: Bench,
) -> None:
    recorder = Recorder()
    topic, key, value, headers = state("a", "e1", status="poison")
    async with bench.service(everything(recorder)):
        await bench.send(state("a", "e0"), (topic, key, value, headers), state("a", "e2"))
        (kept,) = await bench.read(topics.SEQUENCES_QUARANTINE, 1)
        await bench.settled(2)

    assert (kept.key, kept.value) == (key, value)
    assert (await bench.order())["a"] == ["e0", "e2"]
    assert len(await bench.pool.fetchval(WITHHELD, EVENTS)) == 1


async def test_a_reader_does_not_vouch_while_a_batch_is_in_hand(bench: Bench) -> None:
    recorder, begun, free = Recorder(), asyncio.Event(), asyncio.Event()

    async def block() -> None:
        begun.set()
        await free.wait()

    recorder.before = block
    async with bench.service(everything(recorder)):
        await bench.until(VOUCHED, EVENTS, 0)
        await bench.send(state("a", "e1"))
        await asyncio.wait_for(begun.wait(), WAIT_SECONDS_MAX)
        before = await bench.pool.fetchrow(STANDING, EVENTS)
        await asyncio.sleep(0.7)
        after = await bench.pool.fetchrow(STANDING, EVENTS)
        free.set()
        assert before is not None
        await bench.until("select sum(beat) > $2 from consumer_offset where topic = $1", EVENTS, before["beats"])

    assert after == before
