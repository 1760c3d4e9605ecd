"""Records that the Kafka client itself cannot read: their headers have names that are not UTF-8."""

from typing import Any

import pytest
from sluice_contracts import topics
from testkit.topics import RawRecord

from libs.messaging.tests.bench import Bench, Recorder, command, commands_only, everything, headers_of, state

pytestmark = pytest.mark.stack


class NoText(str):
    """A header's name whose bytes are not UTF-8, as clients in C may write them."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


async def send_unreadable(bench: Bench, record: RawRecord, *, partition: int) -> None:
    """Write one record that has such a header."""
    topic, key, value, _ = record
    await bench.send_by_hand(topic, partition, NoText("x"), key, value)


async def test_such_records_are_set_aside_and_their_neighbours_are_handled_once_each(bench: Bench) -> None:
    for number in range(3):
        at = number * 100
        await bench.send(*(command(f"s{n}", f"c{n}") for n in range(at, at + 60)), partition=0)
        await bench.send(*(command(f"s{n}", f"c{n}") for n in range(at + 60, at + 100)), partition=1)
        await send_unreadable(bench, command("bad", f"bad{number}"), partition=0)
    await bench.send(*(command(f"s{n}", f"c{n}") for n in range(300, 700)), partition=0)
    async with bench.service(commands_only(Recorder())):
        await bench.settled(700)
        kept = await bench.read(topics.SEQUENCES_QUARANTINE, 3)

    assert set((await bench.effects()).values()) == {1}
    assert len(await bench.effects()) == 700
    first = next(end for at, end in bench.since.items() if (at.topic, at.partition) == (topics.SEQUENCES_COMMANDS, 0))
    offsets = sorted(int(headers_of(record)["sluice-quarantine-offset"]) - first for record in kept)
    assert offsets == [60, 121, 182]
    assert all("sluice-unreadable" in headers_of(record) for record in kept)


async def test_where_such_a_record_may_be_a_stop_its_partition_is_no_longer_vouched_for(bench: Bench) -> None:
    async with bench.service(everything(Recorder())):
        await send_unreadable(bench, state("a", "e0"), partition=1)
        await bench.send(state("a", "e1"), partition=1)
        await bench.settled(1)
        withheld = "select array_agg(partition) filter (where withheld) from consumer_offset where topic = $1"
        assert await bench.pool.fetchval(withheld, topics.SEQUENCES_EVENTS) == [1]
