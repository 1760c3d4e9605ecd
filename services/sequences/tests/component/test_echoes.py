"""Its own compacted topics, read back: a stale record never has the last word."""

import random
from typing import Any

import orjson
import pytest
from messaging.pipeline import Pipeline
from sequences.handlers import erasures
from sluice_contracts import topics

pytestmark = pytest.mark.stack

Service = Any
Said = Any

WELCOME = {"sequence_id": "welcome"}
CANARY = "canary-7b1f"
STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
DEFINITION = {"name": CANARY, "steps": [STEP]}


def types(said: list[Said]) -> list[str]:
    return [record.type for record in said]


def of(said: list[Said], kind: str) -> Said:
    (found,) = [record for record in said if record.type == kind]
    return found


async def test_an_older_state_that_lands_late_is_answered_with_the_current_one(service: Service) -> None:
    save = ("SaveSequence", {**WELCOME, "definition": DEFINITION})
    saved = of(await service.ask(save), "SequenceSaved")
    second = of(await service.ask(("PublishSequence", WELCOME)), "SequencePublished")
    own = topics.SEQUENCES_EVENTS

    in_order = await service.hear((own, "welcome", saved.value), (own, "welcome", second.value))
    late = await service.hear((own, "welcome", saved.value))
    echo = await service.hear((own, "welcome", late[0].value))

    assert in_order == []
    assert types(late) == ["SequencePublished"]
    assert late[0].data == second.data
    assert late[0].envelope["id"] != second.envelope["id"]
    assert echo == []


async def test_a_tombstone_that_is_not_ours_is_answered_with_the_current_state(service: Service) -> None:
    await service.stopped()

    said = await service.hear((topics.SEQUENCES_EVENTS, "welcome", None), (topics.SEQUENCES_EVENTS, "other", None))

    assert types(said) == ["SequenceStopped"]


async def test_what_nobody_can_read_is_answered_with_the_state_as_a_newer_one(service: Service) -> None:
    await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}))
    published = of(await service.ask(("PublishSequence", WELCOME)), "SequencePublished")
    own = topics.SEQUENCES_EVENTS

    said = await service.hear((own, "welcome", b"no JSON"), (own, "other", b"no JSON"))

    again = of(said, "SequencePublished")
    assert [record.key for record in said if record.topic == topics.SEQUENCES_QUARANTINE] == ["welcome", "other"]
    assert len(said) == 3
    assert again.data["state_version"] == published.data["state_version"] + 1
    assert again.data["published"] == published.data["published"]


async def test_a_state_of_our_own_that_cannot_be_read_is_not_said_again_and_again(service: Service) -> None:
    saved = of(await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION})), "SequenceSaved")
    broken = orjson.dumps({**saved.envelope, "data": {**saved.data, "epoch": "one"}})

    said = await service.hear((topics.SEQUENCES_EVENTS, "welcome", broken))

    assert [record.topic for record in said] == [topics.SEQUENCES_QUARANTINE]


async def test_a_value_that_lands_after_the_tombstone_is_answered_with_the_tombstone(service: Service) -> None:
    saved = await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}), ("PublishSequence", WELCOME))
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    (receipt,) = [record for record in await service.erase() if record.value is not None]
    await service.hear((receipt.topic, "welcome", receipt.value))
    await service.erased("enrollment")
    await service.erased("delivery")

    state = await service.hear((topics.SEQUENCES_EVENTS, "welcome", of(saved, "SequenceSaved").value))
    version = await service.hear((topics.SEQUENCES_VERSIONS, "welcome:1", of(saved, "VersionPublished").value))
    tombstones = await service.hear((topics.SEQUENCES_EVENTS, "welcome", None))

    assert [(r.topic, r.key, r.value) for r in state] == [(topics.SEQUENCES_EVENTS, "welcome", None)]
    assert [(r.topic, r.key, r.value) for r in version] == [(topics.SEQUENCES_VERSIONS, "welcome:1", None)]
    assert tombstones == []


async def test_a_version_that_lands_amid_the_erasure_is_answered_with_the_tombstone(service: Service) -> None:
    first = await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}), ("PublishSequence", WELCOME))
    await service.ask(("SaveSequence", {**WELCOME, "definition": {**DEFINITION, "name": "2"}}))
    second = await service.ask(("PublishSequence", WELCOME))
    await service.ask(("DeleteSequence", WELCOME))
    await service.receive(1)
    async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
        await erasures.erase_some(tx, sequences_max=1, versions_max=1)
    erased = await service.said()

    stale = [(topics.SEQUENCES_VERSIONS, one.key, one.value) for one in (of(first, "VersionPublished"), *second[1:2])]
    said = await service.hear(*stale)

    assert [(r.key, r.value) for r in erased] == [("welcome:1", None)]
    assert [(r.topic, r.key, r.value) for r in said] == [(topics.SEQUENCES_VERSIONS, "welcome:1", None)]


def last_of(log: list[Said]) -> dict[str, Said]:
    return {record.key: record for record in log}


@pytest.mark.parametrize("seed", range(3))
async def test_a_frozen_relay_never_has_the_last_word(service: Service, seed: int) -> None:
    chance = random.Random(seed)
    log: dict[str, list[Said]] = {topics.SEQUENCES_EVENTS: [], topics.SEQUENCES_VERSIONS: []}

    def publish(said: list[Said]) -> list[Said]:
        for record in said:
            log.get(record.topic, []).append(record)
        return said

    async def read_back(*, late: int) -> None:
        """The service reads what was published, and what a relay that was frozen publishes once more."""
        for topic, records in log.items():
            start = service.positions.get(topic, {0: 0})[0]
            records += chance.sample(records, min(late, len(records)))
            if records[start:]:
                publish(await service.hear(*[(topic, one.key, one.value) for one in records[start:]]))

    lives = ((1, ("PauseSequence", "ResumeSequence")), (3, ("PauseSequence",)), (4, ("DeleteSequence",)))
    for epoch, kinds in lives:
        for number in range(2):
            definition = {**DEFINITION, "name": f"{epoch}.{number}"}
            publish(await service.ask(("SaveSequence", {**WELCOME, "definition": definition})))
            publish(await service.ask(("PublishSequence", WELCOME)))
            await read_back(late=2)
        for kind in kinds:
            publish(await service.ask((kind, WELCOME)))
            await read_back(late=2)
        publish(await service.receive(epoch))
        await read_back(late=2)
        await read_back(late=0)
        newest = max(one.data["state_version"] for one in log[topics.SEQUENCES_EVENTS])
        assert last_of(log[topics.SEQUENCES_EVENTS])["welcome"].data["state_version"] == newest
    for _ in range(4):  # two versions at a time, then the receipt
        async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
            await erasures.erase_some(tx, sequences_max=1, versions_max=2)
        erased = publish(await service.said())
        await read_back(late=3)
    publish(await service.hear((erased[-1].topic, "welcome", erased[-1].value)))
    for name in ("enrollment", "delivery"):
        publish(await service.erased(name))
        await read_back(late=3)
    await read_back(late=0)

    assert await service.rows("sequence") == 0
    for records in log.values():
        assert {one.value for one in last_of(records).values()} == {None}
