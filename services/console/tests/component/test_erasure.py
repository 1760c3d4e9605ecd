"""What is deleted is erased here too, with a receipt that counts, and nothing that comes late recreates it."""

from typing import Any

import pytest
from console.handlers import erasure
from testkit.feeder import Said

from .conftest import STATE, World, ago

pytestmark = pytest.mark.stack

OF_SEQUENCE = ("event", "enrollment", "version", "stretch", "stop", "books", "sequence")


def told(said: list[Said]) -> list[tuple[str, Any]]:
    return [(one.type, one.data) for one in said]


async def test_a_deleted_sequence_is_erased_in_batches_with_a_true_receipt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH_ROWS_MAX", 2)
    await world.sequence()
    await world.sequence("other")
    for contact_id in ("ada", "bob"):
        await world.enrolled(contact_id)
        await world.enrolled(contact_id, "other")
        await world.message("MessageSent", "welcome", contact_id)
    held = {table: await world.rows(table, "sequence_id = 'welcome'") for table in OF_SEQUENCE}

    await world.sequence(as_="SequenceDeleted", status="deleted", state_version=9, epoch=1, published=None)
    said = await world.erase()
    await world.message("MessageSent", "tips")
    await world.enrolled("late")
    await world.told("VersionPublished", sequence_id="welcome", version=2, definition=STATE["published"])

    assert told(said) == [("SequenceErased", {"sequence_id": "welcome", "service": "console", "rows": held})]
    assert held["event"] == 4
    assert [await world.rows(table, "sequence_id = 'welcome'") for table in OF_SEQUENCE] == [0] * len(OF_SEQUENCE)
    assert await world.rows("enrollment", "sequence_id = 'other'") == 2


async def test_a_receipt_is_given_also_where_anothers_came_first(world: World) -> None:
    await world.sequence()
    await world.told("SequenceErased", sequence_id="welcome", service="delivery", rows={"pending": 1})
    first = await world.erase()
    await world.sequence(as_="SequenceDeleted", status="deleted", state_version=9, epoch=1, published=None)
    said = await world.erase()
    waiting = await world.get("/sequences/welcome")
    await world.told("SequenceErasureCompleted", sequence_id="welcome", epoch=1, rows={})
    done = await world.get("/sequences/welcome")

    assert first == []
    assert [one.type for one in said] == ["SequenceErased"]
    assert waiting["waits_for"] == ["console", "enrollment", "sequences"]
    assert (done["erased"], done["waits_for"], done["erased_by"]) == (True, [], [])


async def test_a_contact_that_is_gone_is_erased_and_the_next_of_that_id_is_new(world: World) -> None:
    await world.sequence()
    await world.contact()
    await world.enrolled(contact_offset=0)
    await world.message("MessageSent", "welcome")

    await world.gone("contacts.events", "ada")
    said = await world.erase()
    await world.message("MessageSent", "tips")
    await world.told("ContactOptedOut", contact_id="ada", occurred_at=ago(days=1))
    left = [await world.rows("event"), await world.rows("enrollment")]
    await world.contact(state_version=1)
    await world.enrolled(enrollment_id="ada-again", contact_offset=2)

    assert told(said) == [
        ("ContactErased", {"contact_id": "ada", "service": "console", "rows": {"event": 2, "enrollment": 1}})
    ]
    assert left == [0, 0]
    assert [one["enrollment_id"] for one in (await world.get("/contacts/ada"))["enrollments"]] == ["ada-again"]


async def test_nothing_personal_is_kept(world: World, pool: object) -> None:
    await world.contact()

    async with world.pool.acquire() as conn:
        kept = [str(tuple(row)) for row in await conn.fetch("select * from contact")]

    assert kept
    assert "canary" not in "".join(kept)


async def test_a_removal_heard_after_the_erasure_leaves_no_enrollment(world: World) -> None:
    await world.sequence()
    await world.contact()
    await world.enrolled()
    await world.sequence(as_="SequenceDeleted", status="deleted", state_version=9, epoch=1, published=None)
    await world.erase()

    removed = {"removal_id": "r", "contact_id": "ada", "enrollment_ids": ["ada-in-welcome"], "allow_reentry": False}
    await world.told("ContactRemoved", **removed, occurred_at=ago(days=1))

    assert await world.rows("enrollment") == 0


async def test_an_enrollment_of_which_only_a_removal_was_heard_is_forgotten_in_time(world: World) -> None:
    removed = {"removal_id": "r", "contact_id": "ada", "allow_reentry": False}
    await world.told("ContactRemoved", **removed, enrollment_ids=["old"], occurred_at=ago(days=41))
    await world.told("ContactRemoved", **removed, enrollment_ids=["new"], occurred_at=ago(days=1))

    await world.erase()

    assert [await world.rows("enrollment", f"enrollment_id = '{one}'") for one in ("old", "new")] == [0, 1]
