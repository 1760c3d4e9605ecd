"""A database that was put back knows again who is in what and who may not be, and answers as it had."""

from typing import Any, Final

import pytest
from testkit.feeder import Said
from testkit.said_again import lost
from testkit.stack import Servers

pytestmark = pytest.mark.stack

World = Any

STATE: Final = """
select sequence_id, contact_id, enrollment_id::text, version, contact_offset, status, reason, allow_reentry,
    enrolled_at, case when status = 'removed' and allow_reentry then null else ended_at end
from enrollment order by sequence_id, contact_id, enrolled_at
"""
BLOCKS: Final = "select contact_id, scope from block order by contact_id, scope"
AGAIN: Final = {"enroll_once": False}


async def state(world: World, sql: str = STATE) -> list[Any]:
    return [tuple(row) for row in await world.pool.fetch(sql)]


async def finished(world: World, enrolled: list[Said], kind: str = "StepsFinished", **more: Any) -> None:
    (entry,) = [one.data for one in enrolled if one.type == "ContactEnrolled"]
    named = {name: entry[name] for name in ("enrollment_id", "contact_id", "sequence_id", "version", "occurred_at")}
    await world.ask(kind, **named, **more)


async def test_entries_ends_and_blocks_are_known_again(world: World, running: Servers) -> None:
    await world.sequence()
    await world.contacts("a", "b", "c", "d", "e", "f")
    await world.enroll("a")
    async with lost(world, running):
        await world.ask("RemoveContact", contact_id="a")
        await finished(world, await world.enroll("b"))
        await world.enroll("c")
        await world.ask("RemoveContact", contact_id="d", campaign="spring")
        await world.enroll("e")
        await world.ask("ContactOptedOut", contact_id="e", occurred_at="2026-03-01T12:00:00Z")
        await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=["a", "d", "f"])
        before, blocked = await state(world), await state(world, BLOCKS)

    assert await state(world) == before
    assert await state(world, BLOCKS) == blocked
    assert {row[1]: row[5] for row in before} == {
        "a": "removed",
        "b": "completed",
        "c": "active",
        "d": "active",
        "e": "stopped",
        "f": "active",
    }


async def test_who_entered_again_lives_once(world: World, running: Servers) -> None:
    await world.sequence(published={"name": "Again", "steps": [], **AGAIN})
    await world.contacts("a", "b")
    await world.enroll("b")
    async with lost(world, running):
        for _ in range(2):
            await world.enroll("a")
            await world.ask("RemoveContact", contact_id="a", sequence_id="welcome", allow_reentry=True)
            await finished(world, await world.enroll("a"))
        await world.ask("RemoveContact", contact_id="b", sequence_id="welcome", allow_reentry=True)
        await world.enroll("b")
        before = await state(world)

    assert await state(world) == before
    assert sorted(row[5] for row in before) == ["active", "completed", "completed", "removed", "removed", "removed"]


async def test_nobody_enters_after_the_receipt_that_was_given(world: World, running: Servers) -> None:
    await world.sequence()
    await world.contacts("a")
    async with lost(world, running) as loss:
        await world.pause()
    assert [one.type for one in loss.said] == ["EntryClosed"]

    refused = await world.enroll("a")
    again = await world.pause()
    await world.sequence(state_version=3, epoch=2)
    (entered, _) = await world.ask("EnrollContact", sequence_id="welcome", contact_id="a")

    assert [one.data["code"] for one in refused] == ["sequence_not_active"] * 2
    assert again == [], "its receipt was given"
    assert entered.type == "ContactEnrolled"


async def test_the_same_commands_get_the_same_answers_and_do_nothing_again(world: World, running: Servers) -> None:
    await world.sequence()
    await world.contacts("a", "b", "c")
    await world.enroll("b")
    commands = [
        world.record("EnrollContact", {"sequence_id": "welcome", "contact_id": "a"}),
        world.record("EnrollContacts", {"sequence_id": "welcome", "contact_ids": ["b", "c"]}),
        world.record("RemoveContact", {"contact_id": "a", "allow_reentry": True}),
    ]
    async with lost(world, running) as loss:
        for command in commands:
            await world.hear(command)
        await world.enroll("a")
        before = await state(world)
    first = [one.value for one in loss.said if one.topic == "enrollment.answers"]

    again = [one for command in commands for one in await world.hear(command)]

    assert [one.value for one in again] == first[: len(commands)]
    assert await state(world) == before


async def test_what_was_answered_and_not_told_is_done_again_under_its_answer(world: World, running: Servers) -> None:
    await world.sequence()
    await world.contacts("a", "b", "c", "d")
    enroll = world.record("EnrollContact", {"sequence_id": "welcome", "contact_id": "a"})
    chunk = world.record("EnrollContacts", {"sequence_id": "welcome", "contact_ids": ["b", "c"]})
    remove = world.record("RemoveContact", {"contact_id": "d"})
    async with lost(world, running) as loss:
        for command in (enroll, chunk, remove):
            await world.hear(command)
        before = await state(world)
        first = [one.value for one in loss.said if one.topic == "enrollment.answers"]
        loss.said[:] = [one for one in loss.said if one.topic == "enrollment.answers" or one.key == "b"]

    again = [one for command in (enroll, chunk, remove) for one in await world.hear(command)]

    assert [one.value for one in again if one.topic == "enrollment.answers"] == first
    assert [(one.type, one.key) for one in again if one.topic != "enrollment.answers"] == [
        ("ContactEnrolled", "a"),
        ("ContactEnrolled", "c"),
        ("ContactRemoved", "d"),
    ]
    assert [row[:6] for row in await state(world)] == [row[:6] for row in before]


async def test_what_waited_and_was_decided_meanwhile_waits_no_more(world: World, running: Servers) -> None:
    await world.contacts("a", "b")
    await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=["a", "b", "nobody"])
    await world.ask("EnrollContact", sequence_id="welcome", contact_id="b")
    async with lost(world, running):
        await world.sequence()
        await world.decide_parked()
        before = await state(world)
        waiting = await state(world, "select enrolled, waiting from parked_command")

    assert await state(world) == before
    assert await state(world, "select enrolled, waiting from parked_command") == waiting == [(2, 1)]
    assert await world.rows("parked") == 1


async def test_who_was_turned_away_is_asked_again_after_the_pause(world: World, running: Servers) -> None:
    await world.sequence()
    await world.contacts("a", "b")
    async with lost(world, running):
        await world.pause()
        await world.enroll("a")
        await world.sequence(state_version=3, epoch=2, admit="none")
        await world.pause(state_version=4, epoch=3)
        await world.enroll("b")
        before = await state(world, "select contact_id, epoch from turned_away where epoch = 3")

    assert before == [("b", 3)]
    assert await state(world, "select contact_id, epoch from turned_away order by epoch") == [("a", 1), ("b", 3)]


async def test_nothing_comes_back_of_what_is_deleted_or_gone(world: World, running: Servers) -> None:
    await world.sequence("gone")
    await world.sequence()
    await world.contacts("a", "b")
    await world.delete("gone")
    await world.hear(("contacts.events", "b", None))
    entry = {"enrollment_id": "3f2a91d2-0000-8000-a000-000000000001", "version": 1, "via": "command"}
    when = {"occurred_at": "2026-03-01T12:00:00Z", "contact_offset": 0}
    async with lost(world, running) as loss:
        for sequence_id, contact_id in (("gone", "a"), ("welcome", "b")):
            data = {**entry, **when, "sequence_id": sequence_id, "contact_id": contact_id}
            topic, key, value = world.record("ContactEnrolled", data, source="enrollment")
            loss.said.append(Said(topic, key, "ContactEnrolled", data, {}, value))

    assert await world.rows("enrollment") == 0
