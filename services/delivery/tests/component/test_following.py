"""Who follows an edit and who keeps what they entered."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from messaging import derive

pytestmark = pytest.mark.stack

World = Any
LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)


def steps(**after: str) -> dict[str, Any]:
    """A definition of e-mails: step and delay."""
    return {
        "name": "W",
        "steps": [
            {"step_id": one, "after": delay, "message": {"channel": "email", "subject": "S", "text": "T"}}
            for one, delay in after.items()
        ],
    }


async def pinned(world: World) -> tuple[str, str]:
    """One who entered version 1, another who entered version 2, which pinned."""
    await world.sequence(published=steps(a="0s", b="9d"), follow_version=1)
    await world.contacts("old", "new")
    (old,) = await world.enroll("old")
    await world.sequence(version=2, published=steps(a="0s", c="1d"), follow_version=1, in_flight="pin")
    (new,) = await world.enroll("new", version=2)
    return old, new


async def send(world: World, sent: Any, follows: dict[int, tuple[str, int]]) -> None:
    """Send what is due; by version, the step that follows and its delay in days."""
    for row in await world.claim():
        step, days = follows[row.effective]
        await world.book(sent(row, step, next_after=timedelta(days=days)))


async def test_a_pin_leaves_those_inside_in_their_version_and_takes_new_ones_into_the_newest(
    world: World, sent: Any
) -> None:
    old, new = await pinned(world)

    await world.go("planner")
    await send(world, sent, {1: ("b", 9), 2: ("c", 1)})

    assert [(await world.row(one))["version"] for one in (old, new)] == [1, 2]
    assert [(await world.row(one))["step_id"] for one in (old, new)] == ["b", "c"]
    assert await world.rows("replan") == 0


async def test_a_later_version_that_is_followed_is_followed_by_all(world: World, sent: Any) -> None:
    old, new = await pinned(world)
    await send(world, sent, {1: ("b", 9), 2: ("c", 1)})

    await world.sequence(version=3, published=steps(a="0s", b="2d", c="3d"), follow_version=3)
    await world.go("planner")
    rows = [await world.row(one) for one in (old, new)]

    assert [(row["version"], row["step_id"]) for row in rows] == [(3, "b"), (3, "c")]
    assert [(row["due_active"] - row["base_active"]).days for row in rows] == [2, 3]


async def test_publishing_an_older_definition_again_is_a_rollback(world: World, sent: Any) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.contacts("c")
    (entered,) = await world.enroll("c")
    await world.sequence(version=2, published=steps(a="0s", c="1d"))
    await world.go("planner")
    await send(world, sent, {2: ("c", 1)})

    await world.sequence(version=3, published=steps(a="0s", b="9d"))
    await world.go("planner")

    assert (await world.row(entered))["step_id"] == "b"
    assert await world.outcomes() == [("a", "sent")]


async def test_what_somebody_keeps_is_known_from_the_topic_of_versions_whichever_comes_first(world: World) -> None:
    pin = {"version": 2, "published": steps(a="0s", c="1d"), "follow_version": 1, "in_flight": "pin"}
    version = {"sequence_id": "s", "version": 1, "definition": steps(a="0s", b="9d")}
    await world.sequence(**pin)
    (entered,) = await world.enroll("c")
    await world.go("planner")
    waits = await world.row(entered)

    await world.ask("VersionPublished", **version)
    await world.go("planner")
    planned = await world.row(entered)

    assert waits["lane"] is None
    assert (planned["version"], planned["step_id"], planned["base_active"]) == (1, "a", LONG_AGO)


async def test_an_edit_that_is_followed_waits_for_its_version(world: World) -> None:
    await world.sequence(published=steps(a="9d"), follow_version=1)
    (entered,) = await world.enroll("c")
    await world.sequence(version=3, published=steps(z="1d"), follow_version=2, in_flight="pin")
    await world.go("planner")
    before = (await world.row(entered))["version"]

    await world.ask("VersionPublished", sequence_id="s", version=2, definition=steps(a="1d"))
    await world.go("planner")
    after = await world.row(entered)

    assert before == 1
    assert (after["version"], after["due_active"] - after["base_active"]) == (2, timedelta(days=1))


async def test_a_version_that_is_heard_of_after_the_deletion_brings_nothing_back(world: World) -> None:
    await world.sequence()
    await world.delete()
    await world.go("halter", "eraser")

    await world.ask("VersionPublished", sequence_id="s", version=1, definition=steps(a="0s"))
    said = await world.hear(("sequences.versions", "s:1", None))

    assert await world.rows("definition") == 0
    assert said == []


async def test_a_pinned_message_that_is_decided_later_goes_on_in_its_version(world: World, booking: Any) -> None:
    old, _ = await pinned(world)
    for row in await world.claim():
        await world.book(booking(row, "unknown"))

    await world.ask("ResolveMessage", message_id=derive(old, "a"), outcome="sent")
    await world.go("planner")

    assert ((await world.row(old))["version"], (await world.row(old))["step_id"]) == (1, "b")
