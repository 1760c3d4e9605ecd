"""What a resume does to messages that became due meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any
LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def steps(**after: str) -> dict[str, Any]:
    """A definition of e-mails: step and delay."""
    return {
        "name": "W",
        "steps": [
            {"step_id": one, "after": delay, "message": {"channel": "email", "subject": "S", "text": "T"}}
            for one, delay in after.items()
        ],
    }


async def paused(world: World, **after: str) -> str:
    """One who entered an hour before a pause; the id of the enrollment."""
    await world.sequence(published=steps(**after))
    await world.contacts("c")
    (entered,) = await world.enroll("c", at=LONG_AGO - HOUR)
    await world.pause()
    return str(entered)


async def resume(world: World, overdue: str, hours: float, **state: Any) -> None:
    """Resume so many hours after the pause began; the clock is not shifted."""
    await world.resume(resumed=LONG_AGO + hours * HOUR, **{"overdue": overdue, "clock_offset_seconds": 0.0, **state})


async def test_a_skip_lets_expire_what_is_due_and_goes_on_from_the_resume(world: World) -> None:
    entered = await paused(world, a="2h", b="1d")

    await resume(world, "skip", 5)
    said = await world.go("expirer")
    row = await world.row(entered)

    assert [(one.type, one.data["step_id"], one.data["reason"]) for one in said] == [("MessageExpired", "a", "skip")]
    assert (row["step_id"], row["ended"]) == ("b", ["a"])
    assert row["due_active"] - (LONG_AGO + 5 * HOUR + timedelta(days=1)) == timedelta(microseconds=1)
    assert await world.outcomes() == [("a", "expired")]
    # The pause had dropped one message, which the resume planned again.
    assert await world.books() == {"planned": 3, "pending": 1, "dropped": 1, "expired": 1}


async def test_a_step_without_a_delay_after_one_that_expired_is_sent(world: World) -> None:
    await paused(world, a="0s", b="0s")

    await resume(world, "skip", 5)
    await world.go("expirer")

    assert [row.step_id for row in await world.claim()] == ["b"]


async def test_nothing_that_is_to_expire_is_claimed_before_it_has(world: World) -> None:
    await paused(world, a="0s", b="0s")

    await resume(world, "skip", 5)

    assert await world.claim() == []


async def test_what_is_due_after_the_resume_is_not_skipped(world: World) -> None:
    entered = await paused(world, a="7h")

    await resume(world, "skip", 5)
    said = await world.go("expirer")

    assert said == []
    assert (await world.row(entered))["due_active"] == LONG_AGO + 6 * HOUR


async def test_where_nothing_follows_what_expired_the_steps_are_finished(world: World) -> None:
    await paused(world, a="0s")

    await resume(world, "skip", 5)
    said = await world.go("expirer")

    assert [one.type for one in said] == ["MessageExpired", "StepsFinished"]
    assert await world.rows("pending") == 0
    assert await world.books() == {"planned": 2, "dropped": 1, "expired": 1}


async def test_send_now_sends_all_that_became_due(world: World) -> None:
    await paused(world, a="2h")

    await resume(world, "send_now", 5)

    assert await world.go("expirer") == []
    assert [row.step_id for row in await world.claim()] == ["a"]


@pytest.mark.parametrize(("after", "expires"), [("2h", True), ("4h", False)])
async def test_a_bounded_lateness_lets_expire_what_is_later_than_that(world: World, after: str, expires: bool) -> None:
    """The resume is six hours after the entry."""
    await paused(world, a=after)

    await resume(world, "send_now", 5, max_lateness="3h")
    said = await world.go("expirer")

    assert [one.data.get("reason") for one in said if one.type == "MessageExpired"] == ["max_lateness"] * expires
    assert len(await world.claim()) == (not expires)


async def test_under_a_pause_nothing_expires(world: World) -> None:
    await paused(world, a="2h")
    await resume(world, "skip", 5)
    await world.pause(epoch=3, at=LONG_AGO + 6 * HOUR, resumed_at=(LONG_AGO + 5 * HOUR).isoformat())

    stopped = await world.go("expirer")
    await world.resume(
        epoch=4, paused=LONG_AGO + 6 * HOUR, resumed=LONG_AGO + 9 * HOUR, clock_offset_seconds=3 * 3_600.0
    )
    said = await world.go("expirer")

    assert stopped == []
    assert [(one.type, one.data["reason"]) for one in said if one.type == "MessageExpired"] == [
        ("MessageExpired", "skip")
    ]


async def test_each_message_expires_by_the_first_resume_that_skipped_it(world: World) -> None:
    """The second step is due between the two resumes, so the second one skips it too, and the third counts from it."""
    entered = await paused(world, a="2h", b="1h", c="1d")
    await resume(world, "skip", 5)
    await world.pause(epoch=3, at=LONG_AGO + 5.5 * HOUR)
    await world.resume(
        epoch=4,
        paused=LONG_AGO + 5.5 * HOUR,
        resumed=LONG_AGO + 8 * HOUR,
        overdue="skip",
        clock_offset_seconds=0.0,
    )

    await world.go("expirer")

    assert await world.outcomes() == [("a", "expired"), ("b", "expired")]
    assert (await world.row(entered))["due_active"] - timedelta(microseconds=1) == LONG_AGO + 8 * HOUR + 24 * HOUR


async def test_an_entry_that_was_due_before_the_resume_expires_however_late_it_is_heard_of(world: World) -> None:
    await world.sequence(published=steps(a="1h", b="9d"))
    await world.pause()
    await resume(world, "skip", 5)

    await world.enroll("late", at=LONG_AGO - 2 * HOUR)
    await world.enroll("later", at=LONG_AGO + 6 * HOUR)
    await world.go("expirer")

    assert await world.outcomes() == [("a", "expired")]


async def test_a_delay_that_is_shortened_after_a_skip_makes_due_now_and_lets_nothing_expire(world: World) -> None:
    entered = await paused(world, a="30d")
    await resume(world, "skip", 5)

    shortened = {"paused_at": "2026-03-01T12:00:00Z", "resumed_at": "2026-03-01T17:00:00Z", "overdue": "skip"}
    await world.sequence(version=2, published=steps(a="1h"), epoch=2, **shortened)
    await world.go("planner", "expirer")

    assert (await world.row(entered))["due_active"] == LONG_AGO + 5 * HOUR + timedelta(microseconds=1)
    assert [row.step_id for row in await world.claim()] == ["a"]


async def test_an_edit_after_a_skip_saves_nothing_that_it_skipped(world: World) -> None:
    await paused(world, a="2h", b="1d")
    await resume(world, "skip", 5)

    lengthened = {"paused_at": "2026-03-01T12:00:00Z", "resumed_at": "2026-03-01T17:00:00Z", "overdue": "skip"}
    await world.sequence(version=2, published=steps(a="90d", b="1d"), epoch=2, **lengthened)
    await world.go("planner", "expirer")

    assert await world.outcomes() == [("a", "expired")]


async def test_what_may_have_arrived_is_unknown_and_not_expired(world: World, booking: Any) -> None:
    await world.sequence(published=steps(a="0s", b="1d"))
    await world.contacts("c")
    await world.enroll("c", at=LONG_AGO - HOUR)
    (row,) = await world.claim()
    await world.pause()
    await world.book(booking(row, "retry", retry_after=timedelta(), in_doubt=True, event=b"{}"))
    await world.said()

    await resume(world, "skip", 5)
    said = await world.go("expirer")

    assert [(one.type, one.data["reason"]) for one in said] == [("MessageUnknown", "skip")]
    assert await world.outcomes() == [("a", "unknown")]
    assert (await world.row(row.enrollment_id))["lane"] == "unknown:"
    assert await world.books() == {"planned": 2, "dropped": 1, "unknown": 1}


async def test_many_expire_in_batches_and_a_crash_between_two_costs_nothing(world: World) -> None:
    await world.sequence(published=steps(a="0s", b="9d"))
    await world.enroll(*[f"c{number}" for number in range(7)], at=LONG_AGO - HOUR)
    await world.pause()
    await resume(world, "skip", 5)

    await world.expirer.go_round()
    part = await world.rows("message")
    world.restart()
    said = await world.go("expirer")

    assert part == 2
    assert len([one for one in said if one.type == "MessageExpired"]) == 7
    assert len({one.envelope["id"] for one in said}) == 7
    assert await world.books() == {"planned": 21, "pending": 7, "dropped": 7, "expired": 7}


async def test_an_entry_that_is_heard_after_pauses_that_did_not_shift_starts_at_its_own_time(world: World) -> None:
    """Two pauses: the first was not shifted, the second was, by an hour."""
    await world.sequence(published=steps(a="90d"))
    await world.pause()
    await resume(world, "send_now", 5)
    await world.pause(epoch=3, at=LONG_AGO + 7 * HOUR)
    await world.resume(epoch=4, paused=LONG_AGO + 7 * HOUR, resumed=LONG_AGO + 8 * HOUR, clock_offset_seconds=3_600.0)

    entered = [(await world.enroll(f"c{hours}", at=LONG_AGO + hours * HOUR))[0] for hours in (-1, 6, 9)]

    assert [(await world.row(one))["base_active"] - LONG_AGO for one in entered] == [-HOUR, 6 * HOUR, 8 * HOUR]


async def test_where_the_version_to_go_on_in_is_not_here_yet_the_next_step_is_planned_when_it_is(world: World) -> None:
    entered = await paused(world, a="0s", b="1d")
    skip = {"overdue": "skip", "clock_offset_seconds": 0.0, "resumed": LONG_AGO + 5 * HOUR}
    pin = {"version": 3, "follow_version": 2, "in_flight": "pin", "published": steps(z="0s")}
    await world.resume(**skip, **pin)

    await world.go("planner", "expirer", "planner")
    waits = await world.row(entered)
    books = await world.books()
    await world.ask("VersionPublished", sequence_id="s", version=2, definition=steps(a="0s", c="2d"))
    await world.go("planner")
    planned = await world.row(entered)

    assert (waits["lane"], waits["ended"]) == (None, ["a"])
    assert (books["pending"], books["expired"]) == (1, 1)
    assert (planned["version"], planned["step_id"]) == (2, "c")
    assert planned["due_active"] == LONG_AGO + 53 * HOUR + timedelta(microseconds=1)


async def test_a_state_that_is_said_again_without_its_resume_takes_no_mark_away(world: World) -> None:
    await paused(world, a="0s", b="1d")
    await resume(world, "skip", 5)

    await world.resume(resumed=LONG_AGO + 5 * HOUR, clock_offset_seconds=0.0)
    await world.go("expirer")

    assert await world.outcomes() == [("a", "expired")]
