"""With a Kafka client and the published document alone a program can follow every sequence, whenever it starts."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from chassis.clock import monotonic, sleep
from devstack.stack import Stack
from sluice import Sluice
from sluice.transport import Record, partition_of
from sluice_contracts.topics import SEQUENCES_EVENTS
from testkit.topics import produce

from tests.e2e.campaign import Campaign
from tests.e2e.program import Running, running

pytestmark = pytest.mark.stack

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "asyncapi" / "sequences.yaml"
OURS: Final = {"sluice", "sluice_contracts", "messaging", "chassis", "testkit", "devstack", "tests"} | {
    "sequences",
    "enrollment",
    "delivery",
}
COMPACTION_SECONDS_MAX: Final = 90.0
TREAD_SECONDS: Final = 2.2
"""A little more than the local profile's `segment.ms`: the next record begins a new segment."""


@dataclass(slots=True)
class Reconstructed:
    """What a follower has made of the topic, read from its lines as they are needed."""

    program: Running
    states: dict[str, Any] = field(default_factory=dict)
    ignored: list[tuple[str, int]] = field(default_factory=list)

    async def until(self, key: str, state_version: int | None) -> None:
        """Until it has taken over that state of that key, or forgotten it (None)."""
        while (self.states.get(key) or {}).get("state_version") != state_version or key not in self.states:
            self._take(json.loads(await self.program.line(lambda line: line.startswith("{"))))

    async def until_present(self) -> None:
        while not self._take(json.loads(await self.program.line(lambda line: line.startswith("{")))).get("present"):
            pass

    async def until_ignored(self, key: str, state_version: int) -> None:
        while (key, state_version) not in self.ignored:
            self._take(json.loads(await self.program.line(lambda line: line.startswith("{"))))

    def _take(self, said: dict[str, Any]) -> dict[str, Any]:
        if "key" in said:
            self.states[said["key"]] = said["state"]
        elif "ignored" in said:
            self.ignored.append((said["ignored"], said["state_version"]))
        elif "loaded" in said:
            assert OURS.isdisjoint(said["loaded"])
        return said

    def living(self, *keys: str) -> dict[str, Any]:
        """The states of these keys, without what is gone."""
        return {key: self.states[key] for key in keys if self.states.get(key) is not None}


@asynccontextmanager
async def following(stack: Stack, *options: str) -> AsyncIterator[Reconstructed]:
    """The follower, which has come to the present."""
    program = Path(__file__).with_name("follower.py")
    argv = (sys.executable, str(program), stack.addresses.kafka[0], str(DOCUMENT), *options)
    async with running(*argv) as started:
        found = Reconstructed(started)
        await found.until_present()
        yield found


async def _version(sluice: Sluice, sequence_id: str) -> int:
    """The `state_version` of a sequence as it is now."""
    state = await sluice.sequence(sequence_id)
    assert state is not None
    return state.state_version


async def _live(campaign: Campaign, *, other: str) -> None:
    """What happens between the starts of two followers: pause, stopped, resume, edit; another is deleted."""
    sluice, name = campaign.sluice, campaign.sequence_id
    await sluice.pause(name, "a look", wait="stopped")
    await sluice.resume(name, wait="resumed")
    await sluice.save(name, campaign.definition(campaign.email(), campaign.email("more", after="1h")))
    await sluice.publish(name)
    await sluice.save(name, campaign.definition(campaign.email("unfinished")))
    await sluice.delete(other, wait="erased")


async def test_whoever_starts_late_knows_the_same_as_who_was_there_all_along(campaign: Campaign) -> None:
    sluice, name, other = campaign.sluice, campaign.sequence_id, f"{campaign.sequence_id}-b"

    async with following(campaign.stack) as from_before:
        await campaign.launch(campaign.email())
        await sluice.save(other, campaign.definition(campaign.email()))
        await sluice.publish(other)
        async with following(campaign.stack) as from_amid:
            seen_amid = from_amid.living(name, other)
            await _live(campaign, other=other)
            newest = await _version(sluice, name)
            for follower in (from_before, from_amid):
                await follower.until(name, newest)
                await follower.until(other, None)
            async with following(campaign.stack, "--until-present") as from_after:
                pass

    assert [state["status"] for state in seen_amid.values()] == ["active", "active"]
    assert set(from_before.living(name, other)) == {name}
    assert from_before.living(name, other) == from_amid.living(name, other) == from_after.living(name, other)
    state = await sluice.sequence(name)
    assert state is not None
    assert from_after.states[name] == json.loads(state.to_json())
    assert (state.version, state.epoch, state.draft is not None, state.receipts) == (2, 2, True, None)


async def test_a_state_that_lands_late_does_not_bring_back_the_past(campaign: Campaign) -> None:
    sluice, name = campaign.sluice, campaign.sequence_id
    await sluice.save(name, campaign.definition(campaign.email()))
    (first,) = await _records(sluice, name)
    await sluice.publish(name)
    newest = await _version(sluice, name)

    async with following(campaign.stack) as follower:
        await _write_again(campaign.stack, first)
        await follower.until_ignored(name, json.loads(first.value or b"{}")["data"]["state_version"])
        await follower.until_ignored(name, newest)  # the owner has put it right: the last word is the newest again
        await sluice.delete(name, wait="erased")
        await follower.until(name, None)
        await _write_again(campaign.stack, first)
        await follower.until(name, json.loads(first.value or b"{}")["data"]["state_version"])
        await follower.until(name, None)

    assert await sluice.sequence(name) is None


async def test_after_compaction_a_newcomer_knows_all_the_same(campaign: Campaign) -> None:
    sluice, name, gone = campaign.sluice, campaign.sequence_id, f"{campaign.sequence_id}-b"
    await campaign.launch(campaign.email())
    await sluice.save(gone, campaign.definition(campaign.email()))
    await sluice.publish(gone)
    await _live(campaign, other=gone)
    newest = await _version(sluice, name)
    async with following(campaign.stack, "--until-present") as before:
        pass
    said = [one for one in campaign.outside.happened if (one.topic, one.key) == (SEQUENCES_EVENTS, name)]

    await _until_compacted(campaign, name, gone)
    async with following(campaign.stack, "--until-present") as after:
        pass

    assert len(said) > 1
    assert before.living(name, gone) == after.living(name, gone)
    assert set(after.living(name, gone)) == {name}
    assert after.states[name]["state_version"] == newest


async def _records(sluice: Sluice, key: str) -> list[Record]:
    """What the topic still holds of a key."""
    partition = partition_of(key, await sluice.transport.partitions(SEQUENCES_EVENTS))
    read = sluice.transport.read_to_end(SEQUENCES_EVENTS, partition=partition)
    return [record async for batch in read for record in batch if record.key == key.encode()]


async def _write_again(stack: Stack, record: Record) -> None:
    """As a relay would that was frozen with it in its hands."""
    headers = [(name, value or b"") for name, value in record.headers]
    await produce(stack.addresses.kafka, [(record.topic, record.key, record.value, headers)])


async def _until_compacted(campaign: Campaign, living: str, gone: str) -> None:
    """Until the topic holds one record of the one and no state of the other; others' saves let Kafka get on."""
    sluice, deadline = campaign.sluice, monotonic() + COMPACTION_SECONDS_MAX
    count = await sluice.transport.partitions(SEQUENCES_EVENTS)
    treads = {partition_of(name, count): name for name in (f"{campaign.sequence_id}-t{n}" for n in range(20))}
    while True:
        states = [record for record in await _records(sluice, gone) if record.value is not None]
        if len(await _records(sluice, living)) == 1 and not states:
            return
        assert monotonic() < deadline, "Kafka has not compacted in time"
        for name in treads.values():
            await sluice.save(name, campaign.definition())
        await sleep(TREAD_SECONDS)
