"""Saving and publishing: what is kept, what is said."""

from typing import Any

import orjson
import pytest

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


async def test_saving_and_publishing_in_one_batch_keep_their_order(service: Service) -> None:
    said = await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}), ("PublishSequence", WELCOME))

    assert types(said) == [
        "SequenceSaved",
        "CommandAccepted",
        "SequencePublished",
        "VersionPublished",
        "CommandAccepted",
    ]
    assert [said[1].data["result"], said[4].data["result"]] == [{"revision": 1, "status": "draft"}, {"version": 1}]
    assert (said[2].data["draft"], said[2].data["published"], said[2].data["state_version"]) == (None, DEFINITION, 2)
    assert (said[3].topic, said[3].key) == ("sequences.versions", "welcome:1")
    assert {record.envelope["actor"] for record in said} == {"ann"}


async def test_a_definition_comes_back_as_it_was_saved(service: Service) -> None:
    odd = {"b": 1.0, "a": [None, True, {"z": "é\u2028", "y": {}}], "n": 9007199254740993}
    await service.ask(("SaveSequence", {**WELCOME, "definition": odd}))

    said = await service.ask(("PublishSequence", WELCOME), ("SaveSequence", {**WELCOME, "definition": DEFINITION}))
    again = await service.ask(
        ("DeleteSequence", {"sequence_id": "other"}), ("SaveSequence", {**WELCOME, "definition": odd})
    )

    assert of(said, "CommandRejected").data["code"] == "invalid"
    assert orjson.dumps(of(again, "SequenceSaved").data["draft"]) == orjson.dumps(odd)


async def test_a_stale_revision_overwrites_nothing(service: Service) -> None:
    await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}))

    stale = {**WELCOME, "definition": {"name": "mine"}, "expected_revision": 0}
    said = await service.ask(("SaveSequence", stale))
    after = await service.ask(("PublishSequence", WELCOME))

    assert of(said, "CommandRejected").data["code"] == "conflict"
    assert of(after, "SequencePublished").data["published"] == DEFINITION


async def test_a_refused_draft_names_its_faults_and_publishes_nothing(service: Service) -> None:
    await service.ask(("SaveSequence", {**WELCOME, "definition": {"steps": [], "delivery": {"timezone": "Moon"}}}))

    said = await service.ask(("PublishSequence", WELCOME))

    assert types(said) == ["CommandRejected"]
    places = {fault["place"] for fault in said[0].data["faults"]}
    assert {"name", "steps", "delivery.timezone"} <= places
    assert await service.rows("version") == 0


async def test_the_same_command_again_gets_the_same_answer_and_changes_nothing(service: Service) -> None:
    record = service.record("SaveSequence", {**WELCOME, "definition": DEFINITION})

    first = await service.hear(record)
    again = await service.hear(record)

    assert types(again) == ["CommandAccepted"]
    assert again[0].value == of(first, "CommandAccepted").value


async def test_a_pin_and_a_rollback_are_kept_with_the_state(service: Service) -> None:
    await service.published()
    edited = {**DEFINITION, "name": "2"}

    await service.ask(("SaveSequence", {**WELCOME, "definition": edited}))
    pinned = of(await service.ask(("PublishSequence", {**WELCOME, "in_flight": "pin"})), "SequencePublished").data
    paused = of(await service.ask(("PauseSequence", WELCOME)), "SequencePaused").data
    await service.ask(("SaveSequence", {**WELCOME, "definition": DEFINITION}))
    back = await service.ask(("PublishSequence", WELCOME))

    told = [(one["version"], one["follow_version"], one["in_flight"]) for one in (pinned, paused)]
    assert told == [(2, 1, "pin")] * 2
    rolled_back = of(back, "SequencePublished").data
    assert (rolled_back["status"], rolled_back["version"], rolled_back["follow_version"]) == ("paused", 3, 3)
    assert of(back, "VersionPublished").data["definition"] == DEFINITION


async def test_letting_all_follow_publishes_the_same_definition_once_more(service: Service) -> None:
    await service.published()
    await service.ask(("SaveSequence", {**WELCOME, "definition": {**DEFINITION, "name": "2"}}))
    await service.ask(("PublishSequence", {**WELCOME, "in_flight": "pin"}))

    follow = ("PublishSequence", {**WELCOME, "in_flight": "follow"})
    first, second = await service.ask(follow), await service.ask(follow)

    assert types(first) == ["SequencePublished", "VersionPublished", "CommandAccepted"]
    assert types(second) == ["CommandAccepted"]
    assert await service.rows("version") == 3
