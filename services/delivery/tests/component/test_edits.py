"""Who is inside follows an edit, whoever holds a row meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any


def steps(**after: str) -> dict[str, Any]:
    """A definition of e-mails: step and delay."""
    return {
        "name": "W",
        "steps": [
            {"step_id": one, "after": delay, "message": {"channel": "email", "subject": "S", "text": "T"}}
            for one, delay in after.items()
        ],
    }


async def test_a_shortened_delay_makes_due_now_and_a_lengthened_one_later(world: World) -> None:
    await world.sequence(published=steps(a="9d"))
    entered = await world.enroll(*[f"c{number}" for number in range(8)])

    await world.sequence(version=2, published=steps(a="1d"))
    await world.go("planner")
    shortened = await world.row(entered[0])
    await world.sequence(version=3, published=steps(a="3650d"))
    await world.go("planner")
    lengthened = await world.row(entered[0])

    assert shortened["due_active"] - shortened["base_active"] == timedelta(days=1)
    assert lengthened["due_active"] - lengthened["base_active"] == timedelta(days=3650)
    assert await world.rows("pending", "version = 3") == 8
    assert await world.rows("replan") == 0


async def test_a_row_that_is_held_during_the_walk_is_planned_anew_by_whoever_books_it(
    world: World, booking: Any
) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.contacts("c")
    (entered,) = await world.enroll("c")
    (row,) = await world.claim()
    await world.sequence(version=2, published=steps(b="1d"))
    await world.go("planner")

    await world.book(booking(row, "released"))
    await world.go("planner")

    assert (await world.row(entered))["step_id"] == "b"


async def test_an_edit_that_takes_the_last_steps_away_finishes_who_waited_for_them(world: World, sent: Any) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim()
    await world.book(sent(row, "b"))
    await world.said()

    await world.sequence(version=2, published=steps(a="0s"))
    said = await world.go("planner")

    assert [one.type for one in said] == ["StepsFinished"]
    assert await world.rows("pending") == 0
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_another_channel_is_another_lane(world: World) -> None:
    await world.sequence(published=steps(a="0s"))
    await world.contacts("c")
    await world.enroll("c")
    moved = steps(a="0s")
    moved["steps"][0]["message"] = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}

    await world.sequence(version=2, published=moved)
    await world.go("planner")

    assert await world.claim(lane="email:") == []
    assert len(await world.claim(lane="webhook:")) == 1


async def test_a_walk_that_was_cut_off_goes_on_where_it_was(world: World) -> None:
    await world.sequence(published=steps(a="9d"))
    await world.enroll(*[f"c{number}" for number in range(7)])
    await world.sequence(version=2, published=steps(a="1d"))

    await world.planner.go_round()
    part = await world.rows("pending", "version = 2")
    world.restart()
    await world.go("planner")

    assert part == 3
    assert await world.rows("pending", "version = 2") == 7


async def test_an_edit_while_paused_is_followed_and_sends_nothing(world: World) -> None:
    await world.sequence(published=steps(a="9d"))
    (entered,) = await world.enroll("c")
    await world.pause()
    await world.pause(version=2, published=steps(a="0s"))

    await world.go("planner")

    assert (await world.row(entered))["version"] == 2
    assert await world.claim() == []
