"""A database that was put back knows again what was sent, what was not, and what is suspended."""

from datetime import timedelta
from typing import Any, Final

import pytest
from delivery.channels.base import Result
from messaging.opening import Closed
from testkit.database import sluice_url, vouched
from testkit.said_again import Lost, lost
from testkit.stack import Servers

from services.delivery.tests.component.senders import FakeChannel, process, until

pytestmark = pytest.mark.stack

World = Any
Said = Any

SECOND: Final = timedelta(seconds=1)


def step(step_id: str, after: str = "0s", **message: Any) -> dict[str, Any]:
    contents = {"channel": "email", "subject": "S", "text": "Hello", **message}
    return {"step_id": step_id, "after": after, "message": contents}


async def send(world: World, *answers: Result, count: int) -> FakeChannel:
    """One sender, until so many messages have ended."""
    channel = FakeChannel(answers=list(answers))
    async with process(world, channel) as at_work:
        await until(lambda: world.rows("message", f"true having count(*) >= {count}"))
        await at_work.end()
    return channel


async def nothing_leaves(world: World) -> bool:
    """A sender that is let loose finds nothing to send, and another contact shows that it is at work."""
    await world.publish("other", step("x"))
    await world.contacts("other")
    await world.enroll("other", sequence_id="other")
    channel = FakeChannel()
    async with process(world, channel) as at_work:
        await until(lambda: len(channel.arrived) >= 1)
        await until(lambda: world.rows("message", "t.sequence_id = 'other'"))
        await at_work.end()
    return len(channel.arrived) == 1


async def test_what_was_sent_is_never_sent_again_and_the_books_close(world: World, running: Servers) -> None:
    await world.publish("s", step("a"), step("b"), step("c", "2d"))
    await world.contacts("known", "late")
    (known,) = await world.enroll("known")
    async with lost(world, running) as loss:
        (late,) = await world.enroll("late")
        await send(world, count=4)
        await world.said()
        books, rows = await world.books(), [await world.row(one) for one in (known, late)]
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            await world.enroll("late")
            await world.go("planner")

            assert await world.books() == books == {"planned": 6, "sent": 4, "pending": 2}
            for enrollment, before in zip((known, late), rows, strict=True):
                row = await world.row(enrollment)
                assert (row["step_id"], row["ended"]) == ("c", ["a", "b"])
                assert abs(row["due_active"] - before["due_active"]) < SECOND
            assert await nothing_leaves(world)
    assert len(await world.outcomes()) == 4 + 1


async def test_who_is_heard_of_after_an_end_never_enters_and_is_in_the_books(world: World, running: Servers) -> None:
    await world.publish("s", step("a"))
    await world.contacts("done", "refused")
    async with lost(world, running) as loss:
        await world.enroll("done", "refused")
        await send(world, Result.sent(), Result.refused("bad", "no"), count=2)
        books = await world.books()
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            await world.enroll("done", "refused")

            assert await world.rows("pending") == 0
            assert await world.books() == books == {"planned": 2, "sent": 1, "failed": 1}


async def test_what_may_have_arrived_waits_again_and_is_decided_once(world: World, running: Servers) -> None:
    await world.publish("s", step("a"), step("b", "2d"))
    await world.contacts("known", "late", "sent", "again")
    known, sent, again = await world.enroll("known", "sent", "again")
    async with lost(world, running) as loss:
        (late,) = await world.enroll("late")
        await send(world, *[Result.unknown("timeout", "no answer")] * 4, count=4)
        ids = {one.data["enrollment_id"]: one.data["message_id"] for one in await told(loss, "MessageUnknown")}
        await world.ask("ResolveMessage", message_id=ids[sent], outcome="sent")
        await world.ask("ResolveMessage", message_id=ids[again], outcome="retry")
        books = await world.books()
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            await world.enroll("late")
            await world.go("planner")

            assert await world.books() == books == {"planned": 5, "pending": 2, "sent": 1, "unknown": 2}
            assert [(await world.row(one))["lane"] for one in (known, late)] == ["unknown:"] * 2
            assert [(await world.row(one))["step_id"] for one in (sent, again)] == ["b", "a"]
            channel = await send(world, count=4)
            assert channel.arrived == [ids[again]], "a person had said so"
            await world.ask("ResolveMessage", message_id=ids[late], outcome="sent")
            await world.go("planner")
            assert (await world.row(late))["step_id"] == "b"
            assert await world.books() == {"planned": 7, "pending": 3, "sent": 3, "unknown": 1}


async def told(loss: Lost, kind: str) -> list[Said]:
    await loss.feeder.said()
    return [one for one in loss.said if one.type == kind]


async def test_a_claim_that_was_booked_after_the_copy_is_booked(world: World, running: Servers) -> None:
    await world.publish("s", step("a"), step("b", "2d"))
    await world.contacts("c")
    (enrollment,) = await world.enroll("c")
    channel = FakeChannel()
    channel.after.clear()
    async with process(world, channel) as at_work:
        await until(lambda: channel.arrived)
        async with lost(world, running) as loss:
            channel.after.set()
            await until(lambda: world.rows("message", "true having count(*) = 1"))
            await at_work.end()
            await loss.put_back()
            async with vouched(running.urls["delivery"], "delivery"):
                assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}
                assert (await world.row(enrollment))["token"] is None
                await world.go("reaper")
                world.monotonic.move(1_000)
                await world.go("reaper")
                assert await world.outcomes() == [("a", "sent")]
                assert await world.rows("claim") == 0


async def test_what_is_adopted_twice_is_as_if_it_was_once(world: World, running: Servers) -> None:
    await world.publish("s", step("a"), step("b", "2d"))
    await world.contacts("known", "late", "doubt")
    await world.enroll("known", "doubt")
    async with lost(world, running) as loss:
        await world.enroll("late")
        await send(world, Result.sent(), Result.sent(), Result.unknown("timeout", "no answer"), count=3)
        await loss.put_back()
        books, kept = await world.books(), await world.rows("adopted")
        await loss.adopt()

        assert await world.books() == books
        assert await world.rows("adopted") == kept
        assert len(await world.outcomes()) == 3


async def test_what_was_suspended_stays_so_and_commands_get_their_answers(world: World, running: Servers) -> None:
    await world.publish("s", step("a"))
    await world.contacts("c")
    await world.enroll("c")
    commands = [
        world.record("SuspendDelivery", {"scope": "all", "reason": "night"}),
        world.record("SuspendDelivery", {"scope": "channel:email"}),
        world.record("RestoreDelivery", {"scope": "channel:email"}),
    ]
    async with lost(world, running) as loss:
        for command in commands:
            await world.hear(command)
            await world.halt()
        answers = [one.value for one in loss.said if one.topic == "delivery.answers"]
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            again = [one for command in commands for one in await world.hear(command)]

            assert [one.value for one in again] == answers
            assert await world.claim() == []
            stands = await world.pool.fetch("select scope, status, epoch, reason from scope order by scope")
            assert [tuple(one) for one in stands] == [
                ("all", "suspended", 1, "night"),
                ("channel:email", "running", 2, None),
            ]


async def test_a_suspension_whose_receipt_was_still_owed_is_done_again(world: World, running: Servers) -> None:
    await world.publish("s", step("a"))
    await world.contacts("c")
    await world.enroll("c")
    (claimed,) = await world.claim()
    suspend = world.record("SuspendDelivery", {"scope": "all"})
    restore = world.record("RestoreDelivery", {"scope": "all"})
    again = world.record("SuspendDelivery", {"scope": "all"})
    async with lost(world, running) as loss:
        for command in (suspend, restore, again):
            await world.hear(command)
        first = [one.value or b"" for one in loss.said]
        assert claimed.token
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            said = await world.hear(suspend, restore, again)
            assert sorted(one.value or b"" for one in said) == sorted(first)
            world.monotonic.move(1_000)
            await world.halt()
            world.monotonic.move(1_000)
            await world.halt()
            assert await world.pool.fetchval("select status from scope") == "suspended"


async def test_receipts_that_are_given_again_are_the_same_events(world: World, running: Servers) -> None:
    await world.publish("s", step("a", "2d"))
    await world.contacts("c")
    (enrollment,) = await world.enroll("c")
    removal = world.record(
        "ContactRemoved",
        {
            "removal_id": "r",
            "contact_id": "c",
            "enrollment_ids": [enrollment],
            "allow_reentry": False,
            "occurred_at": "2026-03-01T12:00:00Z",
        },
    )
    async with lost(world, running) as loss:
        await world.hear(removal)
        first = [one.envelope["id"] for one in loss.said if one.type == "ContactHalted"]
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            again = [one.envelope["id"] for one in await world.hear(removal) if one.type == "ContactHalted"]

    assert first == again != []


async def test_books_that_are_told_again_are_newer_than_those_that_were(world: World, running: Servers) -> None:
    await world.publish("s", step("a"), step("b", "2d"))
    await world.contacts("c", "d")
    await world.enroll("c")
    async with lost(world, running) as loss:
        for _ in range(3):
            await world.enroll("d")
            await world.pool.execute("update books set unsaid = true")
            await world.go("bookkeeper")
        told_before = max(one.data["books_version"] for one in loss.said if one.type == "MessagesCounted")
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            told_after = [one.data["books_version"] for one in await world.go("bookkeeper")]

    assert told_before > 1
    assert min(told_after) > told_before


async def test_no_claim_bears_the_number_of_one_that_is_forgotten(world: World, running: Servers) -> None:
    await world.publish("s", step("a"))
    await world.contacts("c")
    await world.enroll("c")
    async with lost(world, running) as loss:
        (before,) = await world.claim()
        await loss.put_back()
        async with vouched(running.urls["delivery"], "delivery"):
            (after,) = await world.claim()

    assert after.token > before.token + 1_000


async def test_nothing_is_claimed_while_nobody_vouches(world: World, running: Servers) -> None:
    async with lost(world, running) as loss:
        await loss.put_back()

        with pytest.raises(Closed):
            await world.claim()


async def test_nothing_comes_back_of_a_sequence_that_is_deleted(world: World, running: Servers) -> None:
    await world.publish("s", step("a"), step("b", "2d"))
    await world.contacts("c")
    await world.enroll("c")
    await send(world, count=1)
    said = await world.said()
    await world.delete()
    await world.halt()
    await world.go("eraser")

    loss = Lost(world, sluice_url(running.admin_url), said)
    await loss.adopt()

    assert [await world.rows(table) for table in ("message", "adopted", "pending")] == [0, 0, 0]
