"""A stop holds from its receipt on, whatever was under way; the receipt says exactly what it met."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from delivery.domain.gate import Gate
from delivery.store import claiming, gates, locks

pytestmark = pytest.mark.stack

World = Any
HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAITING = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"


async def set_up(world: World, contacts: int = 3) -> list[str]:
    await world.sequence()
    names = [f"c{n}" for n in range(contacts)]
    await world.contacts(*names)
    enrolled: list[str] = await world.enroll(*names)
    return enrolled


async def test_a_pause_with_nothing_under_way_is_receipted_in_its_own_transaction(world: World) -> None:
    await set_up(world)

    said = await world.pause()

    (receipt,) = said
    assert (receipt.type, receipt.topic, receipt.key) == ("SequenceHalted", "delivery.control", "s")
    assert {name: receipt.data[name] for name in ("epoch", "dropped", "in_flight")} == {
        "epoch": 1,
        "dropped": 3,
        "in_flight": 0,
    }
    assert receipt.envelope["actor"] == "ann"
    assert await world.claim() == []


async def test_a_receipt_waits_for_the_claims_of_before_and_is_given_once(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)

    at_once = await world.pause()
    waiting = await world.halt()
    await world.book(sent(row, "again"))
    booked = await world.said()
    halted = await world.halt()
    again = await world.halt()

    assert (at_once, waiting, again) == ([], [], [])
    assert [one.type for one in booked] == ["MessageSent"]
    (receipt,) = halted
    assert (receipt.data["dropped"], receipt.data["in_flight"]) == (3, 1)


async def test_while_nothing_that_is_owed_can_be_given_the_halter_only_asks(
    world: World, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (enrollment_id, *_) = await set_up(world)
    rows = await world.claim()
    await world.pause()
    await world.remove("c0", enrollment_id)

    with monkeypatch.context() as patch:
        patch.setattr(world.halter, "_service", SimpleNamespace(pool=world.pool))
        assert await world.halt() == []
    await world.book(*(sent(row, "again") for row in rows))

    assert {one.type for one in await world.halt()} == {"MessageSent", "ContactHalted", "SequenceHalted"}


async def test_pausing_what_is_paused_gives_no_second_receipt(world: World) -> None:
    await set_up(world)
    await world.pause()

    again = await world.pause(reason="still")

    assert again == []


async def test_the_dropped_of_a_receipt_is_what_a_full_count_gives(world: World, sent: Any) -> None:
    enrolled = await set_up(world, contacts=12)
    rows = await world.claim(room=5)
    await world.book(*[sent(row, "again") for row in rows[:3]], sent(rows[3]), closes=False)
    await world.enroll("late", at=NOON)
    await world.stop("c9", enrolled[9])

    await world.pause()
    await world.book(sent(rows[4], "again"))
    (receipt,) = [one for one in await world.halt() if one.type == "SequenceHalted"]

    counted = await world.rows("pending", "token is null")
    assert receipt.data["dropped"] == counted
    assert receipt.data["in_flight"] == 1


async def test_what_waits_to_be_planned_is_dropped_by_a_pause_too(world: World) -> None:
    await world.enroll("early")
    await world.sequence(status="draft", version=None, published=None)
    await world.pause(version=None, published=None)

    assert (await world.books()) == {"planned": 1, "pending": 1}


async def test_a_claim_that_began_before_the_stop_commits_before_it_and_is_waited_for(world: World) -> None:
    await set_up(world)
    async with world.pool.acquire() as conn:
        claiming_ = conn.transaction()
        await claiming_.start()
        token, _ = await claiming.begin(conn)
        pause = asyncio.create_task(world.pause())
        await _waits_for_a_lock(world)
        claimed = await claiming.claim(conn, {("s", "email:"): 1}, token=token, owner="late")
        assert not pause.done()
        await claiming_.commit()
        said = await pause

    assert len(claimed) == 1
    assert said == []
    assert await world.rows("sequence_halt", "in_flight = 1") == 1
    assert await world.claim() == []


async def test_a_claim_that_comes_after_a_stop_began_sees_the_closed_gate(world: World) -> None:
    await set_up(world)
    async with world.pool.acquire() as conn:
        closing = conn.transaction()
        await closing.start()
        await locks.hold_gates(conn)
        claim = asyncio.create_task(world.claim())
        await _waits_for_a_lock(world)
        await gates.save(conn, [Gate("s", 99, "paused", open=False, epoch=1, version=1, paused_at=NOON)])
        await closing.commit()

        assert await claim == []


async def test_a_booking_that_meets_a_stop_is_on_one_side_of_it(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)
    async with world.pool.acquire() as conn:
        closing = conn.transaction()
        await closing.start()
        await locks.hold_gates(conn)
        booking = asyncio.create_task(world.book(sent(row, "again")))
        await _waits_for_a_lock(world)
        await closing.rollback()

        assert await booking == 1


async def test_after_the_longest_lease_a_receipt_is_given_whatever_became_of_the_claims(world: World) -> None:
    await set_up(world)
    await world.claim(room=1)
    await world.pause()
    before = await world.halt()
    world.monotonic.move(22.0)
    too_early = await world.halt()
    world.monotonic.move(0.1)

    lapsed = await world.halt()

    assert (before, too_early) == ([], [])
    assert [one.type for one in lapsed] == ["SequenceHalted"]


async def test_a_halter_that_starts_again_counts_from_its_start(world: World) -> None:
    await set_up(world)
    await world.claim(room=1)
    await world.pause()
    await world.halt()
    world.monotonic.move(60.0)
    world.restart()

    at_its_start = await world.halt()
    world.monotonic.move(22.1)
    later = await world.halt()

    assert at_its_start == []
    assert [one.type for one in later] == ["SequenceHalted"]


async def test_a_resume_shifts_what_remains_by_the_pause(world: World) -> None:
    await set_up(world, contacts=1)
    before = await world.row((await world.enroll("c0"))[0])
    await world.pause(at=NOON + HOUR)

    await world.resume(paused=NOON + HOUR, resumed=NOON + 13 * HOUR)

    (row,) = await world.claim()
    assert before is not None
    assert row.due_at == before["due_active"] + 12 * HOUR
    assert row.epoch == 2


async def test_a_resume_plans_again_what_the_pause_had_dropped(world: World, sent: Any) -> None:
    await set_up(world)
    (row,) = await world.claim(room=1)
    await world.pause()
    await world.book(sent(row, "again"))
    await world.halt()

    await world.resume(resumed=NOON + HOUR)

    assert await world.books() == {"planned": 7, "pending": 3, "sent": 1, "dropped": 3}


async def test_an_enrollment_heard_late_starts_at_the_active_clock_of_its_entry(world: World) -> None:
    await world.sequence()
    await world.pause(at=NOON + 2 * HOUR)
    await world.resume(paused=NOON + 2 * HOUR, resumed=NOON + 5 * HOUR)

    entered = [(await world.enroll(name, at=at))[0] for name, at in (("a", NOON), ("b", NOON + 6 * HOUR))]

    assert [(await world.row(one))["base_active"] for one in entered] == [NOON, NOON + 3 * HOUR]


async def test_an_entry_after_a_resume_that_is_not_heard_yet_is_planned_once_it_is(world: World) -> None:
    await world.sequence()
    await world.pause(at=NOON)

    (entered,) = await world.enroll("c", at=NOON + 3 * HOUR)
    await world.go("planner")
    before = await world.row(entered)
    await world.resume(paused=NOON, resumed=NOON + HOUR)
    await world.go("planner")

    assert before["lane"] is None
    assert (await world.row(entered))["base_active"] == NOON + 2 * HOUR


async def test_an_entry_into_a_version_that_is_not_heard_yet_waits_for_it(world: World) -> None:
    await world.sequence()

    (entered,) = await world.enroll("c", version=2)
    await world.go("planner")
    before = await world.row(entered)
    await world.sequence(version=2)
    await world.go("planner")

    assert (before["lane"], before["version"]) == (None, None)
    assert (await world.row(entered))["version"] == 2


async def test_an_older_state_opens_nothing(world: World) -> None:
    await world.sequence(state_version=5)
    await world.pause(state_version=6)

    await world.sequence(state_version=5)

    assert await world.rows("gate", "open") == 0


async def test_the_last_record_of_a_key_alone_tells_all(world: World) -> None:
    paused = await world.pause(
        receipts={
            "entry_closed_at": "2026-03-01T12:00:00Z",
            "halted_at": "2026-03-01T12:00:00Z",
            "dropped": 0,
            "in_flight": 0,
        }
    )
    await world.enroll("c")
    resumed = await world.resume(resumed=NOON + HOUR)

    assert paused == resumed == []
    assert len(await world.claim()) == 1


async def test_a_stop_that_cannot_be_read_as_a_whole_closes_the_gate_all_the_same(world: World) -> None:
    await set_up(world)
    topic, key, value = world.record("SequencePaused", {**_state(world), "status": "paused", "epoch": 1})
    broken = value.replace(b'"in_flight":"follow"', b'"in_flight":"sideways"')

    said = await world.hear((topic, key, broken))
    repaired = await world.hear((topic, key, value))

    receipt, kept = sorted(said, key=lambda one: one.type)
    assert (receipt.type, receipt.data["epoch"]) == ("SequenceHalted", 1)
    assert (kept.type, kept.value) == ("quarantined", broken)
    assert repaired == []
    assert await world.rows("gate", "open") == 0
    assert await world.rows("gate", "status = 'paused' and epoch = 1") == 1


async def test_a_definition_that_senders_could_not_read_closes_its_own_gate_only(world: World) -> None:
    await set_up(world)
    await world.sequence("other")

    said = await world.sequence(version=2, published={"name": "New", "steps": [{"step_id": "x", "after": "soon"}]})

    assert [one.type for one in said] == ["quarantined"]
    assert await world.rows("gate", "open and sequence_id = 's'") == 0
    assert await world.rows("gate", "open and sequence_id = 'other'") == 1
    assert await world.rows("definition", "version = 2") == 0


def _state(world: World) -> dict[str, Any]:
    return {
        "sequence_id": "s",
        "state_version": next(world.numbers),
        "revision": 1,
        "version": 1,
        "published": {
            "name": "W",
            "steps": [
                {"step_id": "hello", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
            ],
        },
        "in_flight": "follow",
        "paused_at": "2026-03-01T12:00:00Z",
        "clock_offset_seconds": 0.0,
        "updated_at": "2026-03-01T12:00:00Z",
    }


async def _waits_for_a_lock(world: World) -> None:
    """Until some session of this schema waits for an advisory lock."""
    async with asyncio.timeout(5), world.pool.acquire() as conn:
        while not await conn.fetchval(WAITING):  # noqa: ASYNC110 - another session's wait sets no event here
            await asyncio.sleep(0.01)
