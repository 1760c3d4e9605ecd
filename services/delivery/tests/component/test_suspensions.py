"""Suspending holds from its receipt on, whatever was under way, and only what it names."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from chassis.health import Health
from delivery.domain import scope
from delivery.loops.control import Control
from delivery.store import claiming
from prometheus_client import CollectorRegistry

pytestmark = pytest.mark.stack

World = Any
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAITING = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
HOOK = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
MAIL = {"channel": "email", "subject": "S", "text": "T"}


async def set_up(world: World, contacts: int = 3, **message: Any) -> None:
    """A sequence whose first messages are due."""
    await world.sequence(published=_definition({**MAIL, **message}))
    names = [f"c{n}" for n in range(contacts)]
    await world.contacts(*names)
    await world.enroll(*names)


async def suspend(world: World, scope: str = "channel:email", **more: Any) -> list[Any]:
    said: list[Any] = await world.ask("SuspendDelivery", scope=scope, **more)
    return said


async def restore(world: World, scope: str = "channel:email") -> list[Any]:
    said: list[Any] = await world.ask("RestoreDelivery", scope=scope)
    return said


def named(said: list[Any], kind: str) -> list[Any]:
    return [one for one in said if one.type == kind]


async def test_a_suspension_with_nothing_under_way_is_receipted_in_its_own_transaction(world: World) -> None:
    await set_up(world)

    said = await suspend(world, reason="bounces")

    (answer,), (receipt,) = named(said, "CommandAccepted"), named(said, "DeliverySuspended")
    assert answer.data["result"] == {"epoch": 1}
    assert (receipt.topic, receipt.key) == ("delivery.control", "channel:email")
    assert {name: receipt.data[name] for name in ("scope", "epoch", "reason", "in_flight")} == {
        "scope": "channel:email",
        "epoch": 1,
        "reason": "bounces",
        "in_flight": 0,
    }
    assert receipt.envelope["actor"] == "ann"
    assert await world.claim() == []
    async with world.pool.acquire() as conn:
        assert await claiming.probe(conn, ["email:"]) == []


async def test_a_receipt_waits_for_every_claim_of_before_and_counts_them(world: World, sent: Any) -> None:
    await set_up(world)
    first, second = await world.claim(room=1), await world.claim(room=1)

    at_once = await suspend(world)
    await world.book(sent(first[0]))
    waiting = named(await world.halt(), "DeliverySuspended")
    await world.book(sent(second[0]))
    await world.said()
    (receipt,) = await world.halt()
    again = await world.halt()

    assert named(at_once, "DeliverySuspended") == waiting == again == []
    assert receipt.data["in_flight"] == 2


async def test_a_claim_elsewhere_is_not_waited_for_and_goes_on(world: World, sent: Any) -> None:
    await set_up(world)
    await world.sequence("hooks", published=_definition(HOOK))
    await world.enroll("c0", "c1", sequence_id="hooks")
    await world.claim("hooks", "webhook:", room=1)

    said = await suspend(world)
    after = await world.claim("hooks", "webhook:")

    assert named(said, "DeliverySuspended")[0].data["in_flight"] == 0
    assert len(after) == 1


@pytest.mark.parametrize(
    ("scope", "lane", "closed"),
    [
        ("all", "email:promo", True),
        ("channel:email", "email:promo", True),
        ("sender:promo", "email:promo", True),
        ("sender:promo", "email:", False),
        ("sender:other", "email:promo", False),
        ("channel:webhook", "email:", False),
    ],
)
async def test_a_scope_closes_what_it_covers_and_no_more(world: World, scope: str, lane: str, closed: bool) -> None:
    await set_up(world, contacts=1, sender=lane.partition(":")[2] or None)

    await suspend(world, scope)

    assert (await world.claim(lane=lane) == []) is closed


async def test_what_two_suspensions_cover_waits_for_both_to_be_lifted(world: World) -> None:
    await set_up(world)
    await suspend(world)
    await suspend(world, "all")

    await restore(world)
    one = await world.claim()
    await restore(world, "all")

    assert one == []
    assert len(await world.claim()) == 3


async def test_a_claim_that_is_not_committed_when_a_suspension_comes_is_waited_for(world: World) -> None:
    await set_up(world)
    async with world.pool.acquire() as conn:
        open_claim = conn.transaction()
        await open_claim.start()
        token, _ = await claiming.begin(conn)
        suspending = asyncio.create_task(suspend(world))
        await _waits_for_a_lock(world)
        claimed = await claiming.claim(conn, {("s", "email:"): 1}, token=token, owner="late")
        assert not suspending.done()
        await open_claim.commit()
        said = await suspending

    assert len(claimed) == 1
    assert named(said, "DeliverySuspended") == []
    assert await world.rows("scope", "status = 'suspending' and in_flight = 1") == 1
    assert await world.claim() == []


async def test_after_the_longest_lease_a_receipt_is_given_whatever_became_of_the_claims(world: World) -> None:
    await set_up(world)
    await world.claim(room=1)
    await suspend(world)
    await world.halt()
    world.monotonic.move(22.0)
    too_early = await world.halt()
    world.restart()
    at_its_start = await world.halt()
    world.monotonic.move(22.1)

    lapsed = await world.halt()

    assert too_early == at_its_start == []
    assert [one.type for one in lapsed] == ["DeliverySuspended"]


async def test_a_restore_acts_only_after_the_receipt_of_its_suspension(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)
    await suspend(world)

    asked = await restore(world)
    meanwhile = await world.claim()
    await world.book(sent(row))
    await world.said()
    told = await world.halt()

    assert named(asked, "CommandAccepted")[0].data["result"] == {"epoch": 2}
    assert named(asked, "DeliveryRestored") == meanwhile == []
    assert [(one.type, one.data["epoch"]) for one in told] == [("DeliverySuspended", 1), ("DeliveryRestored", 2)]
    assert len(await world.claim()) == 2


async def test_a_restore_that_waits_is_cancelled_by_a_suspension(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)
    await suspend(world)
    await restore(world)

    again = await suspend(world)
    await world.book(sent(row))
    await world.said()
    told = await world.halt()

    assert named(again, "CommandAccepted")[0].data["result"] == {"epoch": 1}
    assert [(one.type, one.data["epoch"]) for one in told] == [("DeliverySuspended", 1)]
    assert await world.claim() == []


async def test_suspending_what_is_suspended_repeats_the_receipt(world: World) -> None:
    first = await suspend(world)

    again = await suspend(world)

    before, after = named(first, "DeliverySuspended")[0], named(again, "DeliverySuspended")[0]
    assert (before.data, before.envelope["id"] != after.envelope["id"]) == (after.data, True)


async def test_restoring_what_runs_says_nothing(world: World) -> None:
    said = await restore(world)

    assert [one.type for one in said] == ["CommandAccepted"]
    assert said[0].data["result"] == {"epoch": 0}


async def test_the_same_command_again_changes_nothing_and_gets_the_same_answer(world: World) -> None:
    record = world.record("SuspendDelivery", {"scope": "all"})
    first = await world.hear(record)
    await restore(world, "all")

    again = await world.hear(record)

    assert [one.value for one in again] == [one.value for one in named(first, "CommandAccepted")]
    assert await world.rows("scope", "status = 'running' and epoch = 2") == 1


async def test_a_channel_that_there_is_not_is_refused(world: World) -> None:
    (answer,) = await suspend(world, "channel:emial")

    assert (answer.type, answer.data["code"]) == ("CommandRejected", "not_found")
    assert await world.rows("scope") == 0


async def test_a_senders_copy_closes_and_opens_with_the_scope(world: World) -> None:
    control = Control(
        world.pool,
        staleness_seconds_max=3.0,
        health=Health(registry=CollectorRegistry()),
        monotonic=world.monotonic,
    )
    async with world.pool.acquire() as conn:
        seen = []
        for change in (suspend, restore):
            await change(world, "sender:promo")
            await control.look(conn)
            seen.append([control.lane_open(lane) for lane in ("email:promo", "email:")])

    assert seen == [[False, True], [True, True]]


async def test_no_claim_is_made_between_a_receipt_and_the_restore_that_follows(world: World, sent: Any) -> None:
    """Claimers, a halter and an operator at once: every claim lies outside every [halted_at, restored_at]."""
    await set_up(world, contacts=120)
    chance, told, claims = random.Random(11), [], []
    done = asyncio.Event()

    async def claims_and_books() -> None:
        while not done.is_set():
            for row in await world.claim(room=2):
                async with world.pool.acquire() as conn:
                    claims.append(
                        await conn.fetchval("select claimed_at from claim where token = $1", row.token) or NOON
                    )
                await asyncio.sleep(chance.random() / 200)
                await world.book(sent(row), closes=False)

    async def operates() -> None:
        for _ in range(25):
            told.extend(await suspend(world))
            await asyncio.sleep(chance.random() / 100)
            told.extend(await restore(world))
            await asyncio.sleep(chance.random() / 100)
        done.set()

    async def halts() -> None:
        while not done.is_set():
            await world.halter.go_round()
            await asyncio.sleep(0.002)

    await asyncio.gather(claims_and_books(), claims_and_books(), operates(), halts())
    await world.halter.go_round()
    told.extend(await world.said())

    halted = {one.data["epoch"]: _time(one.data["halted_at"]) for one in named(told, "DeliverySuspended")}
    restored = {one.data["epoch"]: _time(one.data["restored_at"]) for one in named(told, "DeliveryRestored")}
    closed = [(at, restored[epoch + 1]) for epoch, at in halted.items() if epoch + 1 in restored]
    assert len(claims) > 10
    assert len(closed) > 5
    assert [at for at in claims for since, until in closed if since <= at < until] == []


def _definition(message: dict[str, Any]) -> dict[str, Any]:
    return {"name": "W", "steps": [{"step_id": "hello", "after": "0s", "message": message}]}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def _waits_for_a_lock(world: World) -> None:
    """Until some session of this schema waits for an advisory lock."""
    async with asyncio.timeout(5), world.pool.acquire() as conn:
        while not await conn.fetchval(WAITING):  # noqa: ASYNC110 - another session's wait sets no event here
            await asyncio.sleep(0.01)


async def test_a_suspension_that_cannot_be_handled_closes_its_scope_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(world)
    await world.ask("SuspendDelivery", scope="sender:other")
    monkeypatch.setattr(scope, "suspend", _crash)

    said = await world.hear(
        world.record("SuspendDelivery", {"scope": "channel:email"}),
        world.record("RestoreDelivery", {"scope": "sender:other"}),
    )
    receipt = await world.halt()

    assert [one.data["code"] for one in named(said, "CommandRejected")] == ["internal"]
    assert len(named(said, "quarantined")) == 1
    assert [one.data["scope"] for one in named(said, "DeliveryRestored")] == ["sender:other"]
    assert await world.claim() == []
    assert [(one.type, one.data["scope"], one.data["epoch"]) for one in receipt] == [
        ("DeliverySuspended", "channel:email", 1)
    ]
    assert await world.rows("consumer_offset", "withheld") == 0


async def test_a_restore_that_waits_is_off_once_a_suspension_could_not_be_handled(
    world: World, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)
    await suspend(world)
    await restore(world)
    monkeypatch.setattr(scope, "suspend", _crash)

    await suspend(world)
    await world.book(sent(row))
    await world.said()

    assert [one.type for one in await world.halt()] == ["DeliverySuspended"]
    assert await world.claim() == []


async def test_where_not_even_the_scope_can_be_closed_delivery_is_not_vouched_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scope, "suspend", _crash)
    monkeypatch.setattr(scope, "fence", _crash)

    said = await suspend(world)

    assert [one.data["code"] for one in named(said, "CommandRejected")] == ["internal"]
    assert await world.rows("consumer_offset", "withheld and topic = 'delivery.commands'") == 1


async def test_what_is_no_command_stops_nothing_and_an_unknown_one_is_refused(world: World) -> None:
    await set_up(world)
    topic, key, value = world.record("SuspendDelivery", {"scope": "channel:email"})

    said = await world.hear(
        (topic, key, b"{"), (topic, b"\xff", value), (topic, key, value.replace(b"Delivery.v1", b"Delivery.v2"))
    )

    assert len(named(said, "quarantined")) == 1
    assert [one.data["code"] for one in named(said, "CommandRejected")] == ["invalid", "invalid"]
    assert len(await world.claim()) == 3
    assert await world.rows("consumer_offset", "withheld") == 0


def _crash(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError
