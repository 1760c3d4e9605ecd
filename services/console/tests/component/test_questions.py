"""What is answered, from what was heard."""

import pytest
from console.store import people

from .conftest import World, ago

pytestmark = pytest.mark.stack


async def test_a_life_is_told_in_full(world: World) -> None:
    await world.sequence()
    await world.contact(timezone="Europe/Berlin")
    await world.enrolled()
    await world.message("MessageSent", "welcome")

    listed = await world.get("/sequences")
    detail = await world.get("/sequences/welcome")
    log = await world.get("/sequences/welcome/log")
    funnel = await world.get("/sequences/welcome/funnel")
    page = await world.get("/sequences/welcome/contacts")
    person = await world.get("/contacts/ada")
    why = await world.get("/contacts/ada/why", sequence="welcome", step="tips")

    assert [one["sequence_id"] for one in listed["items"]] == ["welcome"]
    assert detail["versions"][0]["steps"] == ["welcome", "tips"]
    assert {name: log[name] for name in ("enrolled", "in_progress", "completed")} == {
        "enrolled": 1,
        "in_progress": 1,
        "completed": 0,
    }
    assert [(one["step_id"], one["planned"], one["sent"], one["waiting"]) for one in funnel["steps"]] == [
        ("welcome", 1, 1, 0),
        ("tips", 1, 0, 1),
    ]
    assert page["items"][0]["code"] == "due"
    assert page["items"][0]["next"]["step_id"] == "tips"
    assert page["items"][0]["next"]["due_at"] == ago(days=2)
    assert [one["kind"] for one in person["timeline"]] == ["sent", "enrolled"]
    assert why["code"] == "due"
    assert [one["what"] for one in why["decisions"]][-2:] == ["entered, version 1", "`welcome` was sent by email"]


async def test_a_sequence_of_which_nothing_was_planned_has_books_that_are_empty_and_close(world: World) -> None:
    await world.sequence()

    books = await world.get("/sequences/welcome/books")

    assert (books["books_version"], books["planned"], books["closed"]) == (0, 0, True)
    assert (await world.ask("/sequences/nothing/books")).status == 404


async def test_of_a_long_past_the_newest_part_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "FACTS_MAX", 4)
    await world.sequence()
    for contact_id in ("ada", "bob"):
        await world.enrolled(contact_id)
        for days in (4, 3):
            await world.message("MessageUnknown", "welcome", contact_id, reason="timeout", at=ago(days=days))
        await world.message("MessageSent", "welcome", contact_id, at=ago(days=2))

    page = await world.get("/sequences/welcome/contacts")

    assert [one["ended_steps"] for one in page["items"]] == [["welcome"], ["welcome"]]
