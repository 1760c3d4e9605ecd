"""The books are closed after every step, and are told."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.stack

World = Any
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEPS = ("a", "b", "c")
CONTACTS = ("c0", "c1", "c2", "c3", "c4")
ACTIONS = (
    "enroll",
    "claim",
    "send",
    "retry",
    "release",
    "fail",
    "doubt",
    "decide",
    "remove",
    "stop",
    "pause",
    "resume",
    "publish",
    "plan",
    "lapse",
    "roll up",
)


async def test_books_are_told_at_most_once_for_each_change(world: World, sent: Any) -> None:
    await world.sequence()
    await world.contacts("c")
    await world.enroll("c")

    (first,) = await world.go("bookkeeper")
    quiet = await world.go("bookkeeper")
    (row,) = await world.claim()
    await world.book(sent(row))
    await world.said()
    (second,) = await world.go("bookkeeper")

    assert (first.type, first.topic, first.key) == ("MessagesCounted", "delivery.books", "s")
    assert (first.data["planned"], first.data["pending"], first.data["sent"]) == (1, 1, 0)
    assert quiet == []
    assert (second.data["planned"], second.data["pending"], second.data["sent"]) == (1, 0, 1)
    assert second.data["books_version"] == first.data["books_version"] + 1
    assert await world.rows("books_delta") == 0


async def test_while_paused_all_that_is_pending_counts_as_dropped(world: World) -> None:
    await world.sequence()
    await world.enroll("c", "d")
    await world.pause()
    await world.said()
    (paused,) = await world.go("bookkeeper")
    await world.resume(resumed=NOON + timedelta(hours=1))
    (resumed,) = await world.go("bookkeeper")

    assert (paused.data["planned"], paused.data["pending"], paused.data["dropped"]) == (2, 0, 2)
    assert (resumed.data["planned"], resumed.data["pending"], resumed.data["dropped"]) == (4, 2, 2)


class Campaign:
    """One sequence and what a few contacts, senders and people do to it; every step leaves closed books."""

    def __init__(self, world: Any, sent: Any, booking: Any) -> None:
        self.world = world
        self.made = {"send": sent, "other": booking}
        self.held: list[Any] = []
        self.epoch = 0
        self.version = 1
        self.paused = False

    def state(self) -> dict[str, Any]:
        steps = [
            {"step_id": one, "after": "0s", "message": {"channel": "email", "subject": "S", "text": "T"}}
            for one in STEPS[: 1 + self.version % 3]
        ]
        return {"version": self.version, "published": {"name": "W", "steps": steps}, "epoch": self.epoch}

    async def do(self, action: str, contact: str) -> None:
        world, enrollment = self.world, self.world.enrollment_of(contact)
        match action:
            case "enroll":
                await world.enroll(contact)
            case "claim":
                self.held += await world.claim(room=2)
            case "remove":
                await world.remove(contact, enrollment)
            case "stop":
                await world.stop(contact, enrollment)
            case "pause" if not self.paused:
                self.epoch, self.paused = self.epoch + 1, True
                await self._pause()
            case "resume" if self.paused and not await world.rows("sequence_halt"):
                self.epoch, self.paused = self.epoch + 1, False
                await world.resume(**self.state(), resumed=NOON)
            case "publish":
                self.version += 1
                if self.paused:
                    await world.pause(**self.state())
                else:
                    await world.sequence(**self.state())
            case "plan":
                await world.go("planner")
            case "lapse":
                await world.go("reaper")
                world.monotonic.move(30.0)
                await world.go("reaper", "halter")
            case "roll up":
                await world.go("bookkeeper", "halter")
            case "decide":
                await self._decide()
            case "send" | "retry" | "release" | "fail" | "doubt" if self.held:
                await self._end(action, self.held.pop(0))

    async def _decide(self) -> None:
        async with self.world.pool.acquire() as conn:
            unknown = await conn.fetch("select message_id::text from message where outcome = 'unknown' limit 2")
        for number, (message_id,) in enumerate(unknown):
            await self.world.ask("ResolveMessage", message_id=message_id, outcome=("retry", "sent")[number])

    async def _pause(self) -> None:
        counted = await self.world.rows("pending", "token is null and lane is distinct from 'unknown:'")
        claimed = await self.world.rows("pending", "token is not null")
        said = await self.world.pause(**self.state())
        for receipt in said:
            assert (receipt.data["dropped"], receipt.data["in_flight"]) == (counted, claimed)

    async def _end(self, action: str, row: Any) -> None:
        following = {"a": "b", "b": "c"}.get(row.step_id)
        last = following is None or following not in STEPS[: 1 + row.effective % 3]
        match action:
            case "send":
                made = self.made["send"](row, None if last else following, next_after=timedelta(0))
            case "doubt":
                made = self.made["other"](row, "unknown")
            case "fail":
                made = self.made["other"](row, "failed", code="x", detail="x")
            case "retry":
                made = self.made["other"](row, "retry", retry_after=timedelta(0))
            case _:
                made = self.made["other"](row, "released")
        await self.world.book(made, closes=False)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_the_books_are_closed_and_exact(
    world: World, sent: Any, booking: Any, seed: int
) -> None:
    chance = random.Random(seed)
    campaign = Campaign(world, sent, booking)
    await world.sequence(**campaign.state())
    await world.contacts(*CONTACTS)

    for _ in range(60):
        action = chance.choice(ACTIONS)
        await campaign.do(action, chance.choice(CONTACTS))

        await world.books()
        assert await world.rows("(select from message group by message_id having count(*) > 1)", "true") == 0, action

    await campaign.do("lapse", "")
    books = await world.books()
    assert books.get("claimed", 0) == await world.rows("claim") == 0
    assert books.get("sent", 0) == await world.rows("message", "outcome = 'sent'")
    assert books.get("unknown", 0) == await world.rows("message", "outcome = 'unknown'")
