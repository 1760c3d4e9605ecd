"""A sender process against a real database: what leaves, what does not, and what is left behind when it ends."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from delivery.channels.base import Outgoing, Result
from delivery.domain.breaker import Limits
from delivery.domain.rate import Rate
from delivery.loops import booker, claimer, outcomes, pace, sender, tally
from delivery.loops.breaker import Breaker
from delivery.store import claiming, locks

from services.delivery.tests.component.senders import FakeChannel, process, until

pytestmark = pytest.mark.stack

World = Any
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _receipted(world: World) -> Callable[[], Any]:
    async def receipted() -> bool:
        return "DeliverySuspended" in [one.type for one in await world.halt()]

    return receipted


def email(step_id: str, text: str = "Hello {{ contact.name }}") -> dict[str, Any]:
    return {"step_id": step_id, "after": "0s", "message": {"channel": "email", "subject": "S", "text": text}}


def webhook(step_id: str) -> dict[str, Any]:
    message = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
    return {"step_id": step_id, "after": "0s", "message": message}


def definition(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": "W", "steps": list(steps)}


async def set_up(world: World, *contacts: str, steps: tuple[dict[str, Any], ...] = (email("a"),)) -> list[str]:
    await world.sequence(published=definition(*steps))
    await world.contacts(*contacts)
    enrolled: list[str] = await world.enroll(*contacts)
    return enrolled


async def test_every_step_is_sent_once_in_order_and_the_end_is_told(world: World) -> None:
    channel = FakeChannel()
    enrolled = await set_up(world, "c", "d", steps=(email("a"), email("b"), email("c")))
    async with process(world, channel) as running:
        await until(lambda: world.rows("message", "true having count(*) = 6"))
        await running.end()

    said = await world.said()
    for enrollment in enrolled:
        own = [one for one in said if one.data.get("enrollment_id") == enrollment]
        assert [one.data.get("step_id", one.type) for one in own] == ["a", "b", "c", "StepsFinished"]
    assert len(channel.arrived) == len(set(channel.arrived)) == 6
    assert {one.data["message_id"] for one in said if one.type == "MessageSent"} == set(channel.arrived)
    assert await world.books() == {"planned": 6, "sent": 6}
    assert await world.rows("pending") == await world.rows("claim") == 0


async def test_a_lane_that_was_full_goes_on_as_soon_as_it_has_room_whatever_other_lanes_have(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not left to rest because nothing is due in those that have room."""
    full, empty = FakeChannel(), FakeChannel(name="webhook")
    full.before.clear()
    await set_up(world, *(f"c{number}" for number in range(12)))
    async with process(world, full, empty) as running:
        await until(lambda: full.begun == 4)
        monkeypatch.setattr(sender, "REST_SECONDS", 3_600.0)
        monkeypatch.setattr(claimer, "LOOK_SECONDS_BUSY", 3_600.0)
        full.before.set()

        await until(lambda: len(full.arrived) == 12)
        await running.end()


async def test_with_no_heartbeat_nothing_is_claimed_and_with_the_next_ones_it_goes_on(world: World) -> None:
    channel = FakeChannel()
    await set_up(world, "c")
    async with process(world, channel, staleness_seconds_max=0.5) as running:
        await until(lambda: channel.arrived)
        running.beats.clear()
        await until(lambda: not running.control.fresh())
        await world.contacts("d")
        await world.enroll("d")
        await running.go_round(looking=False)
        unheard = (len(channel.arrived), await world.rows("claim"))

        running.beats.set()
        await until(lambda: len(channel.arrived) == 2)

    assert unheard == (1, 0)


async def test_what_is_about_to_leave_when_heartbeats_stop_does_not_leave(world: World) -> None:
    channel = FakeChannel()
    channel.before.clear()
    (entered,) = await set_up(world, "c")
    async with process(world, channel, staleness_seconds_max=0.5) as running:
        await until(lambda: channel.begun)
        running.beats.clear()
        await until(lambda: not running.control.fresh())
        channel.before.set()
        await until(lambda: world.rows("pending", "token is null"))

    assert channel.arrived == []
    assert (await world.row(entered))["attempt"] == 0


async def test_what_is_about_to_leave_when_its_sequence_stops_does_not_leave(world: World) -> None:
    channel = FakeChannel()
    channel.before.clear()
    await set_up(world, "c")
    async with process(world, channel) as running:
        await until(lambda: channel.begun)
        await world.pause()
        await until(lambda: not running.control.may_send("s", 0))
        channel.before.set()
        await until(lambda: world.rows("pending", "token is null"))
        (receipt,) = await world.halt()

    assert channel.arrived == []
    assert receipt.data["in_flight"] == 1


def without_company(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeChannel, asyncio.Semaphore]:
    """A channel whose sends end one by one, as the semaphore is released, while bookings wait for others for ever."""
    monkeypatch.setattr(booker, "GATHER_SECONDS", 600.0)
    channel, ends = FakeChannel(), asyncio.Semaphore(0)
    monkeypatch.setattr(channel.after, "wait", ends.acquire)
    return channel, ends


async def test_the_last_of_what_was_stopped_is_booked_with_those_before_and_waits_for_no_company(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, ends = without_company(monkeypatch)
    await set_up(world, "c", "d")
    await world.sequence("t", published=definition(email("a")))
    async with process(world, channel) as running:
        await until(lambda: len(channel.arrived) == 2)
        await world.enroll("c", sequence_id="t")
        await until(lambda: len(channel.arrived) == 3)
        await world.pause()
        await until(lambda: not running.control.may_send("s", 0))

        ends.release()
        await running.go_round()
        assert await world.rows("message") == 0
        ends.release()
        await until(lambda: world.rows("message", "true having count(*) = 2"))

    assert await world.rows("message", "sequence_id = 's'") == 2
    assert await world.rows("pending", "token is not null") == 1


async def test_the_last_in_a_lane_that_was_suspended_waits_for_no_company(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    email_channel, hook = FakeChannel(), FakeChannel("webhook", idempotent=True)
    await set_up(world, "c", "d", steps=(webhook("a"), email("b")))
    email_channel.after.clear()
    async with process(world, email_channel, hook) as running:
        await until(lambda: len(email_channel.arrived) == 2)
        hook.after.clear()
        await world.contacts("e")
        await world.enroll("e")
        await until(lambda: len(hook.arrived) == 3)
        monkeypatch.setattr(booker, "GATHER_SECONDS", 600.0)
        await world.ask("SuspendDelivery", scope="channel:email")
        await until(lambda: not running.control.lane_open("email:"))

        email_channel.after.set()
        await until(lambda: world.rows("message", "true having count(*) = 4"))

    assert await world.rows("pending", "token is not null and lane = 'webhook:'") == 1


async def test_the_last_of_before_a_pause_waits_for_no_company_when_it_was_resumed_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, ends = without_company(monkeypatch)
    await set_up(world, "c")
    async with process(world, channel) as running:
        await until(lambda: len(channel.arrived) == 1)
        await world.pause()
        await world.resume(resumed=NOON)
        await until(lambda: running.control.may_send("s", 2))
        await world.contacts("d")
        await world.enroll("d")
        await until(lambda: len(channel.arrived) == 2)

        ends.release()
        await until(lambda: world.rows("message"))

    assert await world.rows("pending", "token is not null and epoch = 2") == 1


async def test_what_is_about_to_leave_when_its_channel_is_suspended_does_not_leave(world: World) -> None:
    channel = FakeChannel()
    channel.before.clear()
    (entered,) = await set_up(world, "c")
    async with process(world, channel) as running:
        await until(lambda: channel.begun)
        await world.ask("SuspendDelivery", scope="channel:email")
        await until(lambda: not running.control.lane_open("email:"))
        channel.before.set()
        await until(lambda: world.rows("pending", "token is null"))
        (receipt,) = await world.halt()
        await world.ask("RestoreDelivery", scope="channel:email")
        await until(lambda: channel.arrived)
        await running.end()

    assert (receipt.type, receipt.data["in_flight"]) == ("DeliverySuspended", 1)
    assert len(channel.arrived) == 1
    assert await world.row(entered) is None


async def test_a_suspension_waits_for_what_has_left_and_then_nothing_leaves(world: World) -> None:
    channel = FakeChannel()
    channel.after.clear()
    await set_up(world, *[f"c{number}" for number in range(20)])
    async with process(world, channel, room=4) as running:
        await until(lambda: len(channel.arrived) == 4)
        await world.ask("SuspendDelivery", scope="all")
        waiting = await world.halt()
        channel.after.set()
        await until(lambda: world.rows("scope", "status = 'suspending'"))
        await until(_receipted(world))
        left = len(channel.arrived)
        await running.go_round()

    assert waiting == []
    assert len(channel.arrived) == left


async def test_a_named_senders_messages_leave_by_it_alone_and_wait_where_nobody_knows_it(world: World) -> None:
    channel, promo = FakeChannel("email"), FakeChannel("email:promo")
    steps = [email("a"), email("b", text="promo"), email("c", text="other")]
    steps[1]["message"]["sender"], steps[2]["message"]["sender"] = "promo", "other"
    (entered,) = await set_up(world, "c", steps=tuple(steps))
    async with process(world, channel, promo) as running:
        await until(lambda: promo.arrived and world.rows("pending", "lane = 'email:other'"))
        await running.go_round()
        await running.end()

    assert (channel.texts, promo.texts) == (["Hello Ada"], ["promo"])
    assert (await world.row(entered))["attempt"] == 0


async def test_a_provider_that_fails_is_left_alone_tried_with_a_trickle_and_gets_all_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "TRIAL_RATE", Rate(20.0))
    monkeypatch.setattr(tally, "TELL_SECONDS", 0.02)
    channel = FakeChannel(answers=[Result.retry("http_503", "busy", after_seconds=0.0)] * 10_000)
    await set_up(world, *[f"c{number}" for number in range(60)])
    breaker = Breaker(world, limits=Limits(rest_seconds=0.5))
    told: list[Any] = []

    async def said(kind: str) -> bool:
        await breaker.go_round()
        await world.halter.go_round()
        told.extend(await world.said())
        return any(one.type == kind for one in told)

    async def in_full() -> bool:
        await breaker.go_round()
        sent = await world.rows("message", "outcome = 'sent' having count(*) = 60")
        return bool(sent and await world.rows("scope", "status = 'running' and not trial"))

    async with process(world, channel, room=8) as running:
        await until(lambda: said("DeliverySuspended"))
        left_alone = channel.begun
        await until(lambda: said("DeliveryRestored"))
        tried = channel.begun - left_alone
        channel.answers.clear()
        await until(in_full)
        await running.end()

    assert left_alone >= 20
    assert tried <= 4
    assert await world.books() == {"planned": 60, "sent": 60}


async def test_told_to_stop_it_finishes_what_has_left_and_claims_nothing_more(world: World) -> None:
    channel = FakeChannel()
    channel.after.clear()
    await set_up(world, "c", "d", "e")
    async with process(world, channel, room=2) as running:
        await until(lambda: len(channel.arrived) == 2)
        running.stop.set()
        await asyncio.sleep(0.05)
        waits = not running.task.done()
        channel.after.set()
        await running.end()

    assert waits
    assert len(channel.arrived) == 2
    assert await world.books() == {"planned": 3, "pending": 1, "sent": 2}
    assert await world.rows("claim") == 0


@pytest.mark.parametrize("point", ["before the first byte", "behind the last byte"])
@pytest.mark.parametrize("name", ["email", "webhook"])
async def test_a_killed_sender_leaves_in_doubt_only_what_it_held(world: World, name: str, point: str) -> None:
    channel = FakeChannel(name, idempotent=name == "webhook")
    (channel.before if point == "before the first byte" else channel.after).clear()
    await set_up(world, "c", steps=(email("a"),) if name == "email" else (webhook("a"),))
    async with process(world, channel) as killed:
        await until(lambda: channel.begun and len(channel.arrived) == (point == "behind the last byte"))
        await killed.kill()
    left = await world.books()

    await world.reaper.go_round()
    world.monotonic.move(22.1)
    await world.go("reaper")
    again = FakeChannel(name, idempotent=name == "webhook")
    async with process(world, again) as running:
        await until(lambda: world.rows("message", "true having count(*) = 1"))
        await running.end()

    assert left == {"planned": 1, "claimed": 1}
    if name == "email":
        assert again.arrived == []
        assert await world.books() == {"planned": 1, "unknown": 1}
    else:
        assert len(again.arrived) == 1
        assert set(channel.arrived) <= set(again.arrived)
        assert await world.books() == {"planned": 1, "sent": 1}


async def test_a_claim_whose_answer_was_lost_is_given_back_and_sent_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = FakeChannel()
    await set_up(world, "c")
    real = claiming.claim
    lost: list[Any] = []

    async def losing(conn: Any, rooms: Any, **more: Any) -> Any:
        if lost:
            return await real(conn, rooms, **more)
        async with world.pool.acquire() as other, other.transaction():
            await locks.share_gates(other)
            lost.extend(await real(other, rooms, **more))
        raise ConnectionResetError

    monkeypatch.setattr(claiming, "claim", losing)
    async with process(world, channel) as running:
        await until(lambda: channel.arrived)
        await running.end()

    (event,) = [one for one in await world.said() if one.type == "MessageSent"]
    assert len(lost) == 1
    assert event.data["attempt"] == 1
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_a_transient_refusal_is_tried_again_as_the_same_message(world: World) -> None:
    channel = FakeChannel(answers=[Result.retry("busy", "the provider is busy", after_seconds=0.0)] * 2)
    await set_up(world, "c")
    async with process(world, channel) as running:
        await until(lambda: world.rows("message", "true having count(*) = 1"))
        await running.end()

    (event,) = [one for one in await world.said() if one.type == "MessageSent"]
    assert len(channel.arrived) == 3
    assert len(set(channel.arrived)) == 1
    assert event.data["attempt"] == 3


@pytest.mark.parametrize(("idempotent", "arrivals", "outcome"), [(True, 2, "sent"), (False, 1, "unknown")])
async def test_what_may_have_arrived_is_tried_again_only_where_that_is_harmless(
    world: World, monkeypatch: pytest.MonkeyPatch, idempotent: bool, arrivals: int, outcome: str
) -> None:
    monkeypatch.setattr(outcomes, "RETRY_SECONDS_BASE", 0.01)
    channel = FakeChannel(idempotent=idempotent, answers=[Result.unknown("timeout", "no answer in time")])
    await set_up(world, "c")
    async with process(world, channel) as running:
        await until(lambda: world.rows("message", "true having count(*) = 1"))
        await running.end()

    assert len(channel.arrived) == arrivals
    assert len(set(channel.arrived)) == 1
    assert await world.outcomes() == [("a", outcome)]


async def test_a_message_waits_for_its_contact_however_late_that_is_heard_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "POSTPONED_SECONDS", 0.02)
    channel = FakeChannel()
    await world.sequence(published=definition(email("a")))
    await world.enroll("c")
    async with process(world, channel) as running:
        await until(lambda: world.rows("books_delta", "claimed = 1 having count(*) > 3"))
        waiting = (len(channel.arrived), await world.rows("message"))
        await world.contacts("c")
        await until(lambda: channel.arrived)
        await running.end()

    assert waiting == (0, 0)
    assert channel.texts == ["Hello Ada"]
    assert await world.books() == {"planned": 1, "sent": 1}


async def test_a_campaign_that_becomes_due_does_not_wait_behind_a_large_one(world: World) -> None:
    channel = FakeChannel()
    large = [f"c{number}" for number in range(400)]
    await set_up(world, *large)
    await world.sequence("small", published=definition(email("a", text="small")))
    sent = asyncio.Event()
    real = channel.send

    async def slowly(message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        await asyncio.sleep(0.02)
        sent.set()
        return await real(message, before_first_byte=before_first_byte)

    channel.send = slowly  # type: ignore[method-assign]
    async with process(world, channel, room=2):
        await sent.wait()
        await world.enroll("c0", sequence_id="small")
        await until(lambda: "small" in channel.texts)

    assert len(channel.texts) < 400


async def test_a_definition_of_a_newer_release_waits_and_stops_no_other(world: World) -> None:
    channel = FakeChannel()
    await set_up(world, "c")
    async with world.pool.acquire() as conn:
        await conn.execute("update definition set definition = jsonb_set(definition, '{steps,0,message,subject}', '7')")
    await world.sequence("other", published=definition(email("a", text="other")))
    await world.enroll("c", sequence_id="other")
    async with process(world, channel) as running:
        await until(lambda: channel.arrived and world.rows("pending", "sequence_id = 's' and token is null"))
        await running.end()

    assert channel.texts == ["other"]
    assert await world.books() == {"planned": 1, "pending": 1}


async def test_one_message_that_cannot_be_made_or_told_harms_no_other(world: World) -> None:
    channel = FakeChannel(answers=[Result.sent("odd\x00" + "x" * 5_000)])
    enrolled = await set_up(world, "c", steps=(email("a"), email("b")))
    await world.sequence("other", published=definition(email("a")))
    await world.contacts("c", state_version=2, attributes={"name": "x" * 70_000})
    await world.contacts("d")
    await world.enroll("d", sequence_id="other")
    async with process(world, channel) as running:
        await until(lambda: world.rows("message", "true having count(*) = 2"))
        await running.end()

    said = await world.said()
    failed = next(one for one in said if one.type == "MessageFailed")
    sent = next(one for one in said if one.type == "MessageSent")
    assert failed.data["enrollment_id"] == enrolled[0]
    assert failed.data["code"] == "template_failed"
    assert sent.data["provider_message_id"] == ("odd" + "x" * 5_000)[:2_000]
