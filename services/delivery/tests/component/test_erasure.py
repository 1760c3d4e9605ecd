"""A deleted sequence is stopped, erased in small batches, receipted, and never comes back."""

from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any
CANARY = "canary-7f3a"


async def set_up(world: World, contacts: int = 7) -> list[str]:
    text = {"channel": "email", "subject": CANARY, "text": CANARY}
    await world.sequence(
        published={
            "name": CANARY,
            "steps": [{"step_id": one, "after": "0s", "message": text} for one in ("a", "b")],
        }
    )
    names = [f"c{number}" for number in range(contacts)]
    await world.contacts(*names)
    enrolled: list[str] = await world.enroll(*names)
    return enrolled


async def holds(world: World, what: str) -> list[str]:
    """The tables in which a text stands anywhere."""
    async with world.pool.acquire() as conn:
        tables = [
            row[0]
            for row in await conn.fetch(
                "select c.relname from pg_class c where c.relnamespace = 'delivery'::regnamespace "
                "and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'migration'"
            )
        ]
        return [
            name
            for name in tables
            if await conn.fetchval(f"select exists (select from {name} as t where t::text like '%' || $1 || '%')", what)
        ]


async def test_everything_goes_and_the_receipt_says_how_much(world: World, sent: Any) -> None:
    enrolled = await set_up(world)
    claimed = await world.claim(room=3)
    await world.book(*[sent(row, "b") for row in claimed])
    await world.stop("c6", enrolled[6])
    await world.said()

    halted = await world.delete()
    said = await world.go("eraser")

    assert [one.type for one in halted] == ["SequenceHalted"]
    receipt = next(one for one in said if one.type == "SequenceErased")
    tombstone = next(one for one in said if one.topic == "delivery.books")
    assert (receipt.topic, receipt.key, receipt.data["service"]) == ("erasure.receipts", "s", "delivery")
    assert {name: receipt.data["rows"][name] for name in ("pending", "message", "definition", "gate", "ended")} == {
        "pending": 6,
        "message": 3,
        "definition": 1,
        "gate": 1,
        "ended": 1,
    }
    assert (tombstone.key, tombstone.value) == ("s", None)
    assert await holds(world, CANARY) == []
    assert [name for name in await holds(world, "s") if name == "pending"] == []
    assert await world.rows("deleted_sequence") == 1


async def test_an_erasure_that_was_cut_off_goes_on_and_counts_all(world: World) -> None:
    await set_up(world)
    await world.delete()
    await world.eraser.go_round()
    world.restart()

    said = await world.go("eraser")

    (receipt,) = [one for one in said if one.type == "SequenceErased"]
    assert receipt.data["rows"]["pending"] == 7


async def test_nothing_is_erased_before_the_stop_holds(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)
    await world.delete()

    before = await world.go("eraser")
    await world.book(sent(row, "b"))
    await world.halt()
    after = await world.go("eraser")

    assert before == []
    assert "SequenceErased" in [one.type for one in after]
    assert await world.rows("message") == 0


async def test_nothing_late_brings_a_deleted_sequence_back(world: World) -> None:
    await set_up(world)
    await world.delete()
    await world.go("eraser")

    await world.sequence(state_version=9_999)
    await world.enroll("late")
    await world.stop("later", world.enrollment_of("later"))
    await world.hear(("sequences.events", "s", None))
    await world.delete()
    said = await world.go("eraser", "bookkeeper")

    assert said == []
    for table in ("gate", "definition", "pending", "ended", "erasure", "sequence_halt", "books", "books_delta"):
        assert await world.rows(table) == 0, table


async def test_a_tombstone_alone_erases_what_is_here(world: World) -> None:
    await set_up(world)

    await world.hear(("sequences.events", "s", None))
    said = await world.go("eraser")

    assert [one.topic for one in said] == ["delivery.books"]
    assert await holds(world, CANARY) == []


async def test_a_tombstone_of_what_was_never_heard_of_erases_who_had_entered_it(world: World) -> None:
    await world.enroll("c")

    await world.hear(("sequences.events", "s", None))
    await world.go("eraser")

    assert await world.rows("pending") == 0


async def test_another_sequence_is_not_touched(world: World) -> None:
    await set_up(world)
    await world.sequence("other")
    await world.enroll("c1", sequence_id="other")

    await world.delete()
    await world.go("eraser")

    assert len(await world.claim("other")) == 1
    assert await world.books("other") == {"planned": 1, "claimed": 1}
