"""Claims whose lease is over: what may have been sent is never sent again unless that is harmless."""

from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any
TWO_WEBHOOKS = {
    "name": "W",
    "steps": [
        {
            "step_id": one,
            "after": "0s",
            "message": {"channel": "webhook", "url": "https://crm.example/hook", "json": {}},
        }
        for one in ("hello", "again")
    ],
}


async def lapse(world: World) -> list[Any]:
    """Let every open claim run out."""
    await world.reaper.go_round()
    world.monotonic.move(22.1)
    said: list[Any] = await world.go("reaper")
    return said


async def set_up(world: World, **state: Any) -> str:
    await world.sequence(**state)
    await world.contacts("c")
    (entered,) = await world.enroll("c")
    assert isinstance(entered, str)
    return entered


async def test_nothing_is_touched_before_the_longest_lease_has_passed_here(world: World) -> None:
    await set_up(world)
    await world.claim()
    await world.reaper.go_round()
    world.monotonic.move(22.0)

    assert await world.go("reaper") == []
    assert await world.rows("claim") == 1


async def test_a_webhook_becomes_claimable_again_as_the_same_message(world: World) -> None:
    await set_up(world, published=TWO_WEBHOOKS)
    (first,) = await world.claim(lane="webhook:")

    said = await lapse(world)

    (again,) = await world.claim(lane="webhook:")
    assert said == []
    assert (again.enrollment_id, again.step_id, again.version) == (first.enrollment_id, first.step_id, first.version)
    assert again.attempt == 2
    assert await world.books() == {"planned": 1, "claimed": 1}


async def test_an_e_mail_is_unknown_and_waits_to_be_decided(world: World) -> None:
    entered = await set_up(world)
    await world.claim()

    (told,) = await lapse(world)

    row = await world.row(entered)
    assert (told.type, told.data["reason"], told.data["step_id"]) == ("MessageUnknown", "lease_expired", "hello")
    assert (row["step_id"], row["lane"], row["ended"], row["token"]) == ("hello", "unknown:", [], None)
    assert await world.outcomes() == [("hello", "unknown")]
    assert await world.rows("claim") == 0
    assert await world.books() == {"planned": 1, "unknown": 1}


async def test_a_late_result_of_what_has_lapsed_changes_nothing(world: World, sent: Any) -> None:
    await set_up(world)
    (late,) = await world.claim()
    await lapse(world)

    assert await world.book(sent(late, "again")) == 0
    assert await world.outcomes() == [("hello", "unknown")]


async def test_of_an_enrollment_that_has_ended_nothing_is_sent_again(world: World) -> None:
    entered = await set_up(world, published=TWO_WEBHOOKS)
    await world.claim(lane="webhook:")
    await world.stop("c", entered)

    said = await lapse(world)

    assert [one.type for one in said] == ["MessageUnknown"]
    assert await world.rows("pending") == 0


async def test_a_message_that_ends_its_senders_again_and_again_is_given_up(world: World) -> None:
    await set_up(world, published=TWO_WEBHOOKS)
    async with world.pool.acquire() as conn:
        await conn.execute("update pending set attempt = 11")
    await world.claim(lane="webhook:")

    said = await lapse(world)

    assert [(one.type, one.data["attempt"]) for one in said] == [("MessageUnknown", 12)]


async def test_a_claim_whose_rows_are_booked_or_gone_leaves_no_row_behind(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim()
    await world.book(sent(row, "again"), closes=False)
    await world.said()

    said = await lapse(world)

    assert said == []
    assert await world.rows("claim") == 0
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}
