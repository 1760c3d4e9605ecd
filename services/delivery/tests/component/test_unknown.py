"""What may have arrived waits, and is decided once: by a report, by its step's policy, or by a person."""

from datetime import timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any
LATER = timedelta(minutes=10)


def email(step_id: str, after: str = "0s", **more: Any) -> dict[str, Any]:
    return {"step_id": step_id, "after": after, "message": {"channel": "email", "subject": "S", "text": "T"}, **more}


async def set_up(world: World, *contacts: str, on_unknown: str = "assume_sent") -> list[str]:
    published = {"name": "N", "steps": [email("hello", on_unknown=on_unknown), email("again", "2d")]}
    await world.sequence(published=published)
    await world.contacts(*contacts)
    enrolled: list[str] = await world.enroll(*contacts)
    return enrolled


async def doubt(world: World, booking: Any, *, wait: timedelta = LATER) -> str:
    """Claim one message and lose its answer; its id."""
    (row,) = await world.claim(room=1)
    made = booking(row, "unknown", retry_after=wait)
    await world.book(made)
    await world.said()
    return str(made.message_id)


async def resolve(world: World, message_id: str, outcome: str) -> list[Any]:
    said: list[Any] = await world.ask("ResolveMessage", message_id=message_id, outcome=outcome)
    return said


# -- by policy


async def test_nothing_is_decided_before_the_wait_is_over(world: World, booking: Any) -> None:
    await set_up(world, "c")
    await doubt(world, booking)

    said = await world.go("resolver", "planner")

    assert said == []
    assert await world.books() == {"planned": 1, "unknown": 1}


async def test_by_default_it_then_counts_as_sent_and_the_next_delay_counts_from_now(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    message_id = await doubt(world, booking, wait=timedelta(0))
    async with world.pool.acquire() as conn:
        now = await conn.fetchval("select clock_timestamp()")

    (told,) = await world.go("resolver", "planner")

    row = await world.row(entered)
    assert (told.type, told.topic, told.key) == ("MessageResolved", "delivery.events", "c")
    assert (told.data["message_id"], told.data["outcome"], told.data["by"]) == (message_id, "sent", "policy")
    assert (row["step_id"], row["lane"], row["ended"], row["attempt"]) == ("again", "email:", ["hello"], 0)
    assert row["base_active"] >= now
    assert row["due_active"] - row["base_active"] == timedelta(days=2)
    assert not row["in_doubt"]
    assert await world.outcomes() == [("hello", "sent")]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_behind_the_last_step_the_end_is_told(world: World, booking: Any) -> None:
    await world.publish("s", email("only"))
    await world.contacts("c")
    await world.enroll("c")
    await doubt(world, booking, wait=timedelta(0))

    said = await world.go("resolver", "planner")

    assert [one.type for one in said] == ["MessageResolved", "StepsFinished"]
    assert await world.rows("pending") == 0
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_where_its_step_says_retry_the_same_message_is_sent_again(world: World, booking: Any, sent: Any) -> None:
    (entered,) = await set_up(world, "c", on_unknown="retry")
    message_id = await doubt(world, booking, wait=timedelta(0))

    (told,) = await world.go("resolver")

    assert (told.data["outcome"], told.data["by"], told.data["attempt"]) == ("retry", "policy", 1)
    assert await world.books() == {"planned": 1, "pending": 1}
    (row,) = await world.claim()
    assert (row.enrollment_id, row.step_id, row.attempt, row.in_doubt) == (entered, "hello", 2, True)
    made = sent(row, "again")
    await world.book(made)
    assert made.message_id == message_id
    assert await world.outcomes() == [("hello", "sent")]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_an_edit_meanwhile_leaves_its_version_and_channel_to_the_message_that_is_sent_again(
    world: World, booking: Any
) -> None:
    await set_up(world, "c", on_unknown="retry")
    await doubt(world, booking, wait=timedelta(0))
    webhook = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
    await world.sequence(version=2, published={"name": "N", "steps": [{**email("hello"), "message": webhook}]})

    await world.go("planner", "resolver", "planner")

    (row,) = await world.claim(lane="email:")
    assert (row.step_id, row.version, row.effective) == ("hello", 1, 2)


async def test_an_edit_meanwhile_is_what_the_next_step_follows(world: World, booking: Any) -> None:
    (entered,) = await set_up(world, "c")
    await doubt(world, booking, wait=timedelta(0))
    await world.sequence(version=2, published={"name": "N", "steps": [email("hello"), email("new"), email("again")]})

    await world.go("planner", "resolver", "planner")

    row = await world.row(entered)
    assert (row["step_id"], row["version"], row["ended"]) == ("new", 2, ["hello"])


async def test_what_was_tried_too_often_is_not_tried_again(world: World, booking: Any) -> None:
    await set_up(world, "c", on_unknown="retry")
    async with world.pool.acquire() as conn:
        await conn.execute("update pending set attempt = 11")
    await doubt(world, booking, wait=timedelta(0))

    (told,) = await world.go("resolver")

    assert (told.data["outcome"], told.data["attempt"]) == ("sent", 12)


async def test_while_its_sequence_is_paused_no_policy_decides_and_the_pause_counts_it_as_unknown(
    world: World, booking: Any
) -> None:
    await set_up(world, "c", "d")
    await doubt(world, booking, wait=timedelta(0))

    (receipt,) = await world.pause()
    said = await world.go("resolver", "planner")

    assert receipt.data["dropped"] == 1
    assert said == []
    assert await world.books() == {"planned": 2, "pending": 1, "unknown": 1}


async def test_a_resume_plans_only_again_what_the_pause_had_dropped(world: World, booking: Any) -> None:
    await set_up(world, "c", "d")
    await doubt(world, booking, wait=timedelta(0))
    await world.pause()

    await world.sequence(as_="SequenceResumed", epoch=2)

    assert await world.books() == {"planned": 3, "pending": 1, "dropped": 1, "unknown": 1}


async def test_many_are_decided_in_batches(world: World, booking: Any) -> None:
    await set_up(world, *[f"c{number}" for number in range(8)])
    for _ in range(8):
        await doubt(world, booking, wait=timedelta(0))

    said = await world.go("resolver", "planner")

    assert len({one.key for one in said}) == len(said) == 8
    assert await world.books() == {"planned": 16, "pending": 8, "sent": 8}


# -- by a person


@pytest.mark.parametrize(
    ("asked", "outcomes", "books"),
    [
        ("sent", [("hello", "sent")], {"planned": 2, "pending": 1, "sent": 1}),
        ("retry", [], {"planned": 1, "pending": 1}),
    ],
)
async def test_a_person_decides_before_the_policy_does(
    world: World, booking: Any, asked: str, outcomes: list[Any], books: dict[str, int]
) -> None:
    await set_up(world, "c")
    message_id = await doubt(world, booking)

    told, answer = await resolve(world, message_id, asked)

    assert (told.type, told.data["outcome"], told.data["by"]) == ("MessageResolved", asked, "operator")
    assert told.envelope["actor"] == "ann"
    assert (answer.type, answer.topic) == ("CommandAccepted", "delivery.answers")
    assert answer.data["result"] == {"outcome": asked}
    assert await world.outcomes() == outcomes
    assert await world.books() == books
    assert await world.go("resolver") == []


async def test_deciding_again_in_the_same_way_changes_nothing(world: World, booking: Any) -> None:
    await set_up(world, "c")
    message_id = await doubt(world, booking)
    await resolve(world, message_id, "sent")

    said = await resolve(world, message_id, "sent")

    assert [one.type for one in said] == ["CommandAccepted"]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_what_is_to_be_sent_again_is_accepted_again_and_not_said_to_be_sent(world: World, booking: Any) -> None:
    await set_up(world, "c")
    message_id = await doubt(world, booking)
    first = await resolve(world, message_id, "retry")

    again = await resolve(world, message_id, "retry")
    (refused,) = await resolve(world, message_id, "sent")
    await world.claim()
    claimed = await resolve(world, message_id, "retry")

    assert {one.type for one in first} == {"MessageResolved", "CommandAccepted"}
    assert [[one.type for one in said] for said in (again, claimed)] == [["CommandAccepted"]] * 2
    assert (refused.data["code"], refused.data["detail"]) == (
        "wrong_state",
        "the message is to be sent again, not unknown",
    )


async def test_what_is_not_unknown_is_not_decided(world: World, booking: Any, sent: Any) -> None:
    await set_up(world, "c", "d")
    claimed = await world.claim()
    made = [sent(claimed[0], "again"), booking(claimed[1], "failed", code="x", detail="x")]
    await world.book(*made)
    await world.said()

    (of_sent,) = await resolve(world, made[0].message_id, "retry")
    (of_failed,) = await resolve(world, made[1].message_id, "sent")
    (of_nothing,) = await resolve(world, "00000000-0000-8000-a000-000000000000", "sent")
    (of_no_id,) = await resolve(world, "never", "retry")

    assert [(one.type, one.data["code"]) for one in (of_sent, of_failed, of_nothing, of_no_id)] == [
        ("CommandRejected", "wrong_state"),
        ("CommandRejected", "wrong_state"),
        ("CommandRejected", "not_found"),
        ("CommandRejected", "not_found"),
    ]
    assert of_sent.data["detail"] == "the message is sent, not unknown"
    assert of_failed.data["detail"] == "the message is failed, not unknown"


async def test_of_an_enrollment_that_was_removed_the_message_stays_unknown_and_may_still_be_said_to_be_sent(
    world: World, booking: Any
) -> None:
    (entered,) = await set_up(world, "c")
    message_id = await doubt(world, booking, wait=timedelta(0))

    (receipt,) = await world.remove("c", entered)
    after_removal = (await world.rows("pending"), await world.books(), await world.go("resolver"))
    (refused,) = await resolve(world, message_id, "retry")
    told, _ = await resolve(world, message_id, "sent")

    assert (receipt.type, receipt.data["dropped"], receipt.data["in_flight"]) == ("ContactHalted", 0, 0)
    assert after_removal == (0, {"planned": 1, "unknown": 1}, [])
    assert (refused.data["code"], refused.data["detail"]) == (
        "wrong_state",
        "the enrollment has ended: nothing is sent to it any more",
    )
    assert told.data["outcome"] == "sent"
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_what_is_decided_under_a_pause_goes_on_after_the_resume_with_its_whole_delay(
    world: World, booking: Any
) -> None:
    (entered,) = await set_up(world, "c")
    message_id = await doubt(world, booking)
    async with world.pool.acquire() as conn:
        at = await conn.fetchval("select clock_timestamp()")
    await world.pause(at=at)

    await resolve(world, message_id, "sent")
    await world.go("planner")

    row = await world.row(entered)
    assert row["base_active"] == at
    assert row["due_active"] == at + timedelta(days=2)
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


# -- and deletions


async def test_a_deletion_takes_what_waits_and_nothing_late_decides_it(world: World, booking: Any) -> None:
    await set_up(world, "c")
    message_id = await doubt(world, booking, wait=timedelta(0))

    await world.delete()
    said = await world.go("eraser", "resolver")
    (answer,) = await resolve(world, message_id, "sent")

    assert [one.type for one in said if one.value] == ["SequenceErased"]
    assert answer.data["code"] == "not_found"
    assert await world.rows("books_delta") == await world.rows("message") == 0


async def test_a_deletion_waits_until_what_a_dead_sender_held_is_told_to_be_unknown(world: World) -> None:
    await set_up(world, "c", "d")
    await world.claim(room=1)
    await world.go("reaper", "halter")
    await world.delete()
    world.monotonic.move(22.1)
    halted = await world.halt()  # no, not before the halter has seen it for as long
    world.monotonic.move(22.1)

    receipt = await world.halt()
    before = await world.go("eraser")
    reaped = await world.go("reaper")
    erased = await world.go("eraser")

    assert halted == []
    assert [one.type for one in receipt] == ["SequenceHalted"]
    assert before == []
    assert [one.type for one in reaped] == ["MessageUnknown"]
    assert [one.type for one in erased if one.value] == ["SequenceErased"]
    assert {name: erased[-1].data["rows"][name] for name in ("pending", "message")} == {"pending": 2, "message": 1}


async def test_a_deletion_tells_of_what_may_have_arrived_and_was_to_be_tried_again(world: World, booking: Any) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    await world.book(booking(row, "retry", retry_after=timedelta(hours=1), in_doubt=True, event=b"{}"))

    await world.delete()
    said = await world.go("eraser")

    assert [one.type for one in said if one.value] == ["MessageUnknown", "SequenceErased"]
    assert await world.rows("message") == 0
