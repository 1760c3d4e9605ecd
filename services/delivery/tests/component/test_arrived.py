"""A report decides what a sender could not: what was unknown, is to be tried again, or is not booked yet."""

from datetime import timedelta
from typing import Any

import pytest
from delivery.handlers import reports
from delivery.handlers.reports import on_post
from messaging import derive

from services.delivery.tests.component.receiving import (
    NOBODY,
    Client,
    World,
    report,
    set_up,
    tried_message,
    unknown_message,
    whatsapp,
)

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("kind", ["delivered", "read", "complained"])
@pytest.mark.parametrize("in_doubt", [False, True])
async def test_what_has_arrived_after_all_is_sent_and_not_sent_again(
    client: Client, world: World, booking: Any, kind: str, in_doubt: bool
) -> None:
    doubt = {"in_doubt": True, "event": b"{}"} if in_doubt else {}
    message_id, enrollment_id = await tried_message(world, booking, **doubt)

    status, body = await report(client, f"message.{kind}", message_id=message_id, provider_message_id="p-1")
    said = await world.said()
    await world.go("planner")

    assert (status, body) == (200, {"known": 1})
    assert [one.type for one in said][:2] == ["MessageSent", "MessageReported"]
    assert {name: said[0].data[name] for name in ("message_id", "step_id", "attempt", "provider_message_id")} == {
        "message_id": message_id,
        "step_id": "hello",
        "attempt": 1,
        "provider_message_id": "p-1",
    }
    assert await world.outcomes() == [("hello", "sent")]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}
    row = await world.row(enrollment_id)
    assert (row["step_id"], row["lane"], row["attempt"], row["ended"], row["in_doubt"]) == (
        "again",
        "email:",
        0,
        ["hello"],
        False,
    )
    assert row["due_active"] - row["base_active"] == timedelta(days=2)


async def test_a_long_post_is_taken_in_transactions_of_a_bounded_size(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    async def counted(post: Any, tx: Any, *, provider: str) -> int:
        sizes.append(len(post))
        return await on_post(post, tx, provider=provider)

    monkeypatch.setattr("delivery.loops.receiver.taking.on_post", counted)
    ids = [derive("long", str(number)) for number in range(1_200)]

    status = await whatsapp(
        client,
        statuses=[{"status": "read", "id": "w", "biz_opaque_callback_data": one} for one in ids],
        messages=[{"id": "w", "from": "491701234567", "type": "text"}],
    )

    assert status == 200
    assert sizes == [500, 500, 200, 1]
    assert await world.rows("early_report") == 1_200


async def test_what_bounced_is_tried_again_and_the_bounce_is_told_when_it_has_ended(
    client: Client, world: World, booking: Any
) -> None:
    message_id, enrollment_id = await tried_message(world, booking)

    _, body = await report(client, "message.bounced", message_id=message_id)

    assert body == {"known": 0}
    assert await world.said() == []
    assert (await world.row(enrollment_id))["step_id"] == "hello"
    assert await world.rows("early_report") == 1


async def test_a_report_that_comes_amid_an_attempt_ends_the_message_where_that_fails(
    client: Client, world: World, booking: Any
) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    made = booking(row, "retry", retry_after=timedelta(hours=1))

    _, body = await report(client, "message.delivered", message_id=made.message_id)
    amid = await world.go("resolver")
    await world.book(made)
    await world.said()
    async with world.pool.acquire() as conn:
        await conn.execute("update early_report set look_at = clock_timestamp()")
    said = await world.go("resolver")

    assert body == {"known": 0}
    assert amid == []
    assert [one.type for one in said] == ["MessageSent", "MessageReported"]
    assert await world.rows("early_report") == 0
    assert await world.claim() == []


async def test_what_a_dead_sender_left_and_has_arrived_is_not_sent_again(client: Client, world: World) -> None:
    hook = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
    await world.sequence(published={"name": "N", "steps": [{"step_id": "hook", "after": "0s", "message": hook}]})
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim(lane="webhook:")
    await world.go("reaper")
    world.monotonic.move(22.1)
    await world.go("reaper")

    await report(client, "message.delivered", message_id=derive(row.enrollment_id, row.step_id))
    said = [*await world.said(), *await world.go("planner")]

    assert [one.type for one in said] == ["MessageSent", "MessageReported", "StepsFinished"]
    assert await world.claim(lane="webhook:") == []
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_what_has_arrived_under_a_pause_goes_on_from_the_pause(
    client: Client, world: World, booking: Any
) -> None:
    message_id, enrollment_id = await tried_message(world, booking)
    async with world.pool.acquire() as conn:
        at = await conn.fetchval("select clock_timestamp()")
    await world.pause(at=at)

    await report(client, "message.delivered", message_id=message_id)

    assert (await world.row(enrollment_id))["base_active"] == at
    assert await world.outcomes() == [("hello", "sent")]


async def test_reports_of_two_providers_are_each_told_or_kept(client: Client, world: World, sent: Any) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    made = sent(row, "again")
    async with world.pool.acquire() as conn:
        for provider, kind in (("email", "delivered"), ("whatsapp", "read")):
            await conn.execute(
                "insert into early_report values ($1::uuid, $2, $3, null, clock_timestamp(), clock_timestamp())",
                made.message_id,
                kind,
                provider,
            )
    announced: list[str] = []
    original = reports.announce

    async def booked_amid(tx: Any, said: Any, *, provider: str) -> Any:
        found = await original(tx, said, provider=provider)
        announced.append(provider)
        if len(announced) == 1:
            await world.book(made)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "announce", booked_amid)
        said = [one for one in await world.go("resolver") if one.type == "MessageReported"]

    assert announced[:2] == ["email", "whatsapp"]
    assert [one.data["report"] for one in said] == ["read"]
    assert await world.rows("early_report", "kind = 'delivered'") == 1


@pytest.mark.parametrize(
    ("kind", "outcome", "books"),
    [
        ("delivered", "sent", {"planned": 2, "pending": 1, "sent": 1}),
        ("read", "sent", {"planned": 2, "pending": 1, "sent": 1}),
        ("complained", "sent", {"planned": 2, "pending": 1, "sent": 1}),
        ("bounced", "failed", {"planned": 1, "failed": 1}),
    ],
)
async def test_a_report_decides_what_was_unknown(
    world: World, client: Client, booking: Any, kind: str, outcome: str, books: dict[str, int]
) -> None:
    message_id = await unknown_message(world, booking)

    await report(client, f"message.{kind}", message_id=message_id)

    said = {one.type: one for one in await world.said()}
    assert said["MessageReported"].data["report"] == kind
    assert (said["MessageResolved"].data["outcome"], said["MessageResolved"].data["by"]) == (outcome, "report")
    assert await world.outcomes() == [("hello", outcome)]
    assert await world.books() == books


async def test_it_is_decided_once_whatever_is_reported_later(world: World, client: Client, booking: Any) -> None:
    message_id = await unknown_message(world, booking, wait=timedelta(0))

    await report(client, "message.delivered", message_id=message_id)
    await report(client, "message.bounced", post_id="post-2", message_id=message_id)
    said = [*await world.said(), *await world.go("resolver", "planner")]

    assert [one.type for one in said] == ["MessageReported", "MessageResolved", "MessageReported"]
    assert await world.books() == {"planned": 2, "pending": 1, "sent": 1}


async def test_of_an_enrollment_that_was_removed_a_report_still_puts_the_books_right(
    world: World, client: Client, booking: Any
) -> None:
    message_id = await unknown_message(world, booking)
    await world.remove("c", world.enrollment_of("c"))

    await report(client, "message.delivered", message_id=message_id)

    assert [one.type for one in await world.said()] == ["MessageReported", "MessageResolved"]
    assert await world.rows("pending") == 0
    assert await world.books() == {"planned": 1, "sent": 1}


@pytest.mark.parametrize("ending", ["sent", "unknown"])
async def test_a_report_that_comes_before_the_send_is_booked_is_told_afterwards(
    world: World, client: Client, booking: Any, ending: str
) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    message_id = derive(row.enrollment_id, row.step_id)

    answer = await report(client, "message.delivered", message_id=message_id)
    early = await world.go("resolver")
    await world.book(booking(row, ending))
    await world.said()
    async with world.pool.acquire() as conn:
        await conn.execute("update early_report set look_at = clock_timestamp()")
    said = await world.go("resolver")

    assert answer == (200, {"known": 0})
    assert early == []
    assert [one.type for one in said] == ["MessageReported", *["MessageResolved"] * (ending == "unknown")]
    assert await world.rows("early_report") == 0
    assert await world.outcomes() == [("hello", "sent")]


async def test_a_report_comes_before_the_policy_even_where_both_are_due(
    world: World, client: Client, booking: Any
) -> None:
    await set_up(world, "c")
    (row,) = await world.claim()
    await report(client, "message.bounced", message_id=derive(row.enrollment_id, row.step_id))
    await world.book(booking(row, "unknown", retry_after=timedelta(0)))
    await world.said()

    await world.go("resolver")

    assert await world.outcomes() == [("hello", "failed")]


async def test_a_report_of_a_message_that_never_comes_is_looked_at_ever_more_seldom_and_then_forgotten(
    world: World, client: Client
) -> None:
    await report(client, "message.delivered", message_id=NOBODY)
    await report(client, "message.delivered", post_id="again", message_id=NOBODY)
    kept = await world.rows("early_report")
    async with world.pool.acquire() as conn:
        await conn.execute("update early_report set heard_at = heard_at - interval '1 hour', look_at = heard_at")
        await world.resolver.go_round()
        later = await conn.fetchval("select look_at - clock_timestamp() from early_report")
        await conn.execute("update early_report set heard_at = clock_timestamp() - interval '25 hours'")
    await world.upkeep.go_round()

    assert kept == 1
    assert timedelta(minutes=4) < later < timedelta(minutes=6)
    assert await world.rows("early_report") == 0
