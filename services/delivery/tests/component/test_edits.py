"""Who is inside follows an edit, whoever holds a row meanwhile."""

from datetime import UTC, datetime, timedelta
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


# -- the cases of docs/edits.md

LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE = {"a": "0s", "b": "1d", "c": "1d"}
"""Everybody has got `a` and waits for `b`."""


async def waits_for_b(world: World, sent: Any) -> str:
    await world.sequence(published=steps(**BEFORE))
    await world.contacts("c")
    (entered,) = await world.enroll("c")
    (row,) = await world.claim()
    await world.book(sent(row, "b", next_after=timedelta(days=1)))
    return str(entered)


async def story(world: World, sent: Any, after: dict[str, str]) -> list[str]:
    """Send all that there is to be sent, whenever it is due; the steps, in that order, and whether the end was told."""
    came: list[str] = []
    while True:
        await world.go("planner")
        async with world.pool.acquire() as conn:
            await conn.execute("update pending set due_active = due_active - interval '90 days'")
        rows = await world.claim()
        if not rows:
            return came
        (row,) = rows
        came.append(row.step_id)
        names = list(after)
        left = [one for one in names[names.index(row.step_id) + 1 :] if one not in row.ended]
        following = left[0] if left else None
        await world.book(sent(row, following, next_after=timedelta()))


@pytest.mark.parametrize(
    ("case", "after", "comes"),
    [
        ("delay shortened", {"a": "0s", "b": "1h", "c": "1d"}, "bc"),
        ("delay lengthened", {"a": "0s", "b": "9d", "c": "1d"}, "bc"),
        ("inserted before the position", {"x": "0s", "a": "0s", "b": "1d", "c": "1d"}, "bc"),
        ("inserted at the position", {"a": "0s", "x": "1d", "b": "1d", "c": "1d"}, "bc"),
        ("inserted after the position", {"a": "0s", "b": "1d", "x": "1d", "c": "1d"}, "bxc"),
        ("inserted at the end", {"a": "0s", "b": "1d", "c": "1d", "x": "1d"}, "bcx"),
        ("removed with people in it", {"a": "0s", "c": "1d"}, "c"),
        ("removed behind the position", {"a": "0s", "b": "1d"}, "b"),
        ("removed before the position", {"b": "1d", "c": "1d"}, "bc"),
        ("reordered behind the position", {"a": "0s", "c": "1d", "b": "1d"}, "b"),
        ("reordered to the front", {"b": "1d", "a": "0s", "c": "1d"}, "bc"),
        ("replaced", {"x": "0s", "y": "0s"}, "xy"),
        ("all that is left removed", {"a": "0s"}, ""),
    ],
)
async def test_who_waits_for_the_second_step_gets_what_the_edit_leaves_and_nothing_twice(
    world: World, sent: Any, case: str, after: dict[str, str], comes: str
) -> None:
    await waits_for_b(world, sent)

    await world.sequence(version=2, published=steps(**after))
    came = await story(world, sent, after)

    assert "".join(came) == comes, case


async def test_a_step_that_was_removed_leads_to_the_next_one_whose_delay_counts_from_the_same_moment(
    world: World, sent: Any
) -> None:
    entered = await waits_for_b(world, sent)
    base = (await world.row(entered))["base_active"]

    await world.sequence(version=2, published=steps(a="0s", c="5d"))
    await world.go("planner")
    row = await world.row(entered)

    assert (row["step_id"], row["base_active"], row["due_active"]) == ("c", base, base + timedelta(days=5))


async def test_content_that_changed_is_what_is_sent_to_who_waits(world: World) -> None:
    await world.sequence(published=steps(a="0s"))
    await world.contacts("c")
    await world.enroll("c")
    changed = steps(a="0s")
    changed["steps"][0]["message"]["text"] = "Another text"

    await world.sequence(version=2, published=changed)
    await world.go("planner")
    (row,) = await world.claim()

    assert (row.version, row.effective) == (2, 2)


async def test_two_edits_in_a_row_are_followed_as_one_that_ends_where_they_end(world: World, sent: Any) -> None:
    entered = await waits_for_b(world, sent)

    await world.sequence(version=2, published=steps(a="0s", c="1d"))
    await world.sequence(version=3, published=steps(**BEFORE))
    await world.go("planner")

    assert ((await world.row(entered))["step_id"], (await world.row(entered))["version"]) == ("b", 3)


async def test_of_two_edits_the_first_may_have_moved_somebody_on_for_good(world: World, sent: Any) -> None:
    entered = await waits_for_b(world, sent)

    await world.sequence(version=2, published=steps(a="0s", c="1d"))
    await world.go("planner")
    await world.sequence(version=3, published=steps(**BEFORE))
    await world.go("planner")

    assert (await world.row(entered))["step_id"] == "c"


async def test_an_edit_while_paused_counts_from_the_resume_on(world: World) -> None:
    await world.sequence(published=steps(a="9d", b="1d"))
    (entered,) = await world.enroll("c")
    await world.pause()
    await world.pause(version=2, published=steps(a="1h", b="1d"))
    await world.go("planner")
    await world.resume(resumed=LONG_AGO + timedelta(days=3), version=2, published=steps(a="1h", b="1d"))
    await world.go("planner")

    row = await world.row(entered)

    assert (row["step_id"], row["due_active"]) == ("a", LONG_AGO + timedelta(hours=1))
    assert len(await world.claim()) == 1


async def test_a_send_in_flight_is_finished_as_it_was_and_goes_on_in_the_new_version(world: World, sent: Any) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.contacts("c")
    (entered,) = await world.enroll("c")
    (row,) = await world.claim()
    await world.sequence(version=2, published=steps(z="0s", a="0s", c="1d", b="9d"))
    await world.go("planner")

    await world.book(sent(row, "b"))
    await world.go("planner")

    assert ((await world.row(entered))["step_id"], (await world.row(entered))["version"]) == ("c", 2)
    assert await world.outcomes() == [("a", "sent")]


@pytest.mark.parametrize("after", [{"b": "1d"}, {"b": "1d", "a": "0s"}], ids=["removed", "moved behind"])
async def test_a_step_that_was_taken_away_while_it_was_sent_is_not_sent_again(
    world: World, sent: Any, after: dict[str, str]
) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim()
    await world.sequence(version=2, published=steps(**after))

    await world.book(sent(row, "b"))
    await world.go("planner")

    assert await story(world, sent, after) == (["b"] if "a" not in after else [])


async def test_a_message_that_is_tried_again_keeps_version_and_channel(world: World, booking: Any) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim()
    await world.book(booking(row, "retry", retry_after=timedelta()))
    moved = steps(a="0s", b="9d")
    moved["steps"][0]["message"] = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}

    await world.sequence(version=2, published=moved)
    await world.go("planner")
    (again,) = await world.claim()

    assert (again.version, again.lane, again.attempt) == (1, "email:", 2)
    assert again.effective == 2


async def test_who_has_finished_before_an_edit_adds_steps_gets_none_of_them(world: World, sent: Any) -> None:
    await world.sequence(published=steps(a="0s"))
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim()
    await world.book(sent(row, notice=b'{"type": "StepsFinished.v1"}'))

    await world.sequence(version=2, published=steps(a="0s", b="0s"))
    await world.go("planner")

    assert await world.rows("pending") == 0


async def test_who_entered_before_an_edit_and_was_heard_of_after_it_begins_where_they_stood(world: World) -> None:
    await world.sequence(published=steps(b="1d", c="1d"))
    await world.sequence(version=2, published=steps(a="1d", b="2d", c="1d"))

    before, after = await world.enroll("c", version=1), await world.enroll("d", version=2)

    stood, began = await world.row(before[0]), await world.row(after[0])
    assert (stood["step_id"], stood["version"], began["step_id"]) == ("b", 2, "a")
    assert stood["due_active"] - stood["base_active"] == timedelta(days=2)


async def test_who_entered_a_version_that_is_not_known_yet_is_planned_once_it_is(world: World) -> None:
    await world.sequence(version=2, published=steps(a="1d", b="2d"))
    (entered,) = await world.enroll("c", version=1)
    unknown = await world.row(entered)

    await world.ask("VersionPublished", sequence_id="s", version=1, definition=steps(b="1d"))
    await world.go("planner")

    assert unknown["lane"] is None
    assert (await world.row(entered))["step_id"] == "b"
