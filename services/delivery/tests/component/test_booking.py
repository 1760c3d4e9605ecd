"""What became of messages is booked by token, once, and the next step follows the newest version."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from chassis.health import Health
from delivery.loops import booker
from prometheus_client import CollectorRegistry

from services.delivery.tests.component.senders import until

pytestmark = pytest.mark.stack

World = Any


async def set_up(world: World, *contacts: str) -> list[str]:
    await world.sequence()
    await world.contacts(*contacts)
    enrolled: list[str] = await world.enroll(*contacts)
    return enrolled


async def test_a_sent_message_becomes_history_and_the_row_goes_on(world: World, sent: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()

    booked = await world.book(sent(claimed, "again"))

    row = await world.row(entered)
    assert booked == 1
    assert (row["step_id"], row["ended"], row["attempt"], row["token"]) == ("again", ["hello"], 0, None)
    assert row["due_active"] - row["base_active"] == timedelta(days=2)
    assert await world.outcomes() == [("hello", "sent")]
    assert await world.rows("claim") == 0
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_after_the_last_step_the_row_goes_and_the_end_is_told_behind_the_message(world: World, sent: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()

    await world.book(sent(claimed, notice=b'{"type": "StepsFinished.v1"}'))

    assert [one.type for one in await world.said()] == ["MessageSent", "StepsFinished"]
    assert await world.row(entered) is None
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_the_second_try_of_a_booking_whose_answer_was_lost_is_harmless(world: World, sent: Any) -> None:
    await set_up(world, "c")
    (claimed,) = await world.claim()

    booked = [await world.book(sent(claimed, "again")) for _ in range(2)]

    assert booked == [1, 0]
    assert len(await world.said()) == 1
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_a_late_sender_changes_nothing(world: World, sent: Any, booking: Any) -> None:
    await set_up(world, "c")
    (late,) = await world.claim()
    await world.book(booking(late, "released"))
    (row,) = await world.claim()

    booked = await world.book(sent(late, "again"))

    assert (booked, row.attempt) == (0, 1)
    assert await world.books() == {"planned": 1, "claimed": 1}


async def test_a_retry_comes_later_counts_and_is_told_to_nobody(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()

    await world.book(booking(claimed, "retry", retry_after=timedelta(hours=1)))

    row = await world.row(entered)
    assert (row["attempt"], row["step_id"]) == (1, "hello")
    assert row["due_active"] > claimed.due_at
    assert await world.said() == []
    assert await world.claim() == []
    assert await world.books() == {"planned": 1, "pending": 1}


async def test_what_was_released_is_as_if_it_had_not_been_claimed(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    before = await world.row(entered)
    (claimed,) = await world.claim()

    await world.book(booking(claimed, "released"))

    assert await world.row(entered) == before
    assert await world.books() == {"planned": 1, "pending": 1}


async def test_what_was_postponed_does_not_count_as_tried(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()

    await world.book(booking(claimed, "postponed", retry_after=timedelta(seconds=5)))

    row = await world.row(entered)
    assert (row["attempt"], row["lane"]) == (0, "email:")
    assert await world.claim() == []


async def test_a_failure_ends_the_row_and_is_told(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()

    await world.book(booking(claimed, "failed", code="refused", detail="refused"))

    assert await world.row(entered) is None
    assert [one.type for one in await world.said()] == ["MessageFailed"]
    assert await world.books() == {"planned": 1, "failed": 1}


async def test_what_may_have_arrived_is_told_and_waits_to_be_decided(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()

    await world.book(booking(claimed, "unknown"))

    row = await world.row(entered)
    assert (row["step_id"], row["lane"], row["attempt"], row["token"]) == ("hello", "unknown:", 1, None)
    assert [one.type for one in await world.said()] == ["MessageUnknown"]
    assert await world.claim(lane="unknown:") == []
    assert await world.books() == {"planned": 1, "unknown": 1}


async def test_a_claim_row_stays_until_all_of_it_is_booked(world: World, sent: Any) -> None:
    await set_up(world, "c", "d")
    first, second = await world.claim()

    await world.book(sent(first, "again"), closes=False)
    open_claims = await world.rows("claim")
    await world.book(sent(second, "again"))

    assert (open_claims, await world.rows("claim")) == (1, 0)


async def test_two_claimers_never_get_the_same_row(world: World) -> None:
    await set_up(world, *[f"c{number}" for number in range(40)])

    claims = await asyncio.gather(*[world.claim(room=15) for _ in range(4)])

    ids = [row.enrollment_id for rows in claims for row in rows]
    assert sorted(set(ids)) == sorted(ids)
    assert len(ids) == 40


async def test_nothing_is_claimed_before_it_is_due_and_never_more_than_there_is_room_for(world: World) -> None:
    await world.publish(
        "s", {"step_id": "later", "after": "3650d", "message": {"channel": "email", "subject": "S", "text": "T"}}
    )
    await world.publish("t")
    await world.enroll("c")
    await world.enroll("c", "d", "e", sequence_id="t")

    assert await world.claim("s") == []
    assert len(await world.claim("t", room=2)) == 2


async def test_an_edit_while_a_message_is_claimed_plans_the_next_one_anew(world: World, sent: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()
    await world.sequence(version=2, published=_with("hello", "inserted", "again"))

    await world.book(sent(claimed, "again"))
    unplanned = await world.row(entered)
    await world.go("planner")
    planned = await world.row(entered)

    assert (unplanned["lane"], unplanned["ended"]) == (None, ["hello"])
    assert (planned["step_id"], planned["version"]) == ("inserted", 2)


async def test_what_was_released_after_an_edit_is_planned_anew(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()
    await world.sequence(version=2, published=_with("again"))

    await world.book(booking(claimed, "released"))
    await world.go("planner")

    row = await world.row(entered)
    assert (row["step_id"], row["version"]) == ("again", 2)


async def test_from_its_first_try_on_a_step_keeps_its_version(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    (claimed,) = await world.claim()
    await world.book(booking(claimed, "retry", retry_after=timedelta(0)))
    await world.sequence(version=2, published=_with("again"))
    await world.go("planner")

    (again,) = await world.claim()

    assert (again.step_id, again.version, again.effective, again.attempt) == ("hello", 1, 2, 2)
    assert (await world.row(entered))["version"] == 1


def _with(*step_ids: str) -> dict[str, Any]:
    return {
        "name": "Welcome",
        "steps": [
            {"step_id": one, "after": "0s", "message": {"channel": "email", "subject": "S", "text": "T"}}
            for one in step_ids
        ],
    }


async def test_what_is_hurried_is_written_at_once_though_it_is_more_than_one_batch(
    world: World, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booker, "ROWS_MAX", 2)
    monkeypatch.setattr(booker, "GATHER_SECONDS", 600.0)
    await set_up(world, "c", "d", "e")
    rows = await world.claim()
    books = booker.Booker(world.pool, health=Health(registry=CollectorRegistry()))
    books.expect(rows[0].token, len(rows))
    for row in rows:
        books.take(sent(row))
    books.hurry()

    writing = asyncio.create_task(books.run(asyncio.Event(), more_comes=lambda: True))
    try:
        await until(lambda: world.rows("message", "true having count(*) = 3"))
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
