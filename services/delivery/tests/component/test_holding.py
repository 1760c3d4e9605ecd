"""What is due and not sent: outside its window, or a condition speaks against it. Each is looked at again in time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chassis.clock import utc_now
from delivery.channels.base import Result

from services.delivery.tests.component.senders import FakeChannel, process, until

pytestmark = pytest.mark.stack

World = Any
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHOLE_DAY = {"from": "00:00", "to": "23:59"}
WON = {"success": [{"field": "stage", "op": "equals", "value": "Won"}]}
LOST = {"failure": [{"field": "tags", "op": "contains", "value": "lost"}]}


def at(hour: int) -> str:
    """A time zone in which it is about that time of the day now."""
    ahead = (hour - utc_now().hour + 11) % 24 - 11  # of -11 to 12
    return f"Etc/GMT{-ahead:+d}"


def days_from_now(days: int) -> str:
    return DAYS[(utc_now() + timedelta(days=days)).weekday()]


FAR = {"days": [days_from_now(3)], **WHOLE_DAY, "timezone": "UTC"}
DAILY = {"days": list(DAYS), "from": "09:00", "to": "18:00", "timezone": "contact"}


def definition(*steps: str, channel: str = "email", **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"channel": "email", "subject": "S", "text": "T"}
    if channel == "webhook":
        message = {"channel": "webhook", "url": "https://crm.example/hook", "json": {}}
    return {"name": "W", "steps": [{"step_id": one, "after": "0s", "message": message} for one in steps or "a"], **more}


async def set_up(world: World, definition: dict[str, Any], **contact: Any) -> str:
    await world.sequence(published=definition)
    await world.contacts("c", **contact)
    (entered,) = await world.enroll("c")
    return str(entered)


async def contact(world: World, version: int, **state: Any) -> None:
    """A newer record of the contact."""
    await world.contacts("c", **{"state_version": version, **state})


async def held(world: World, by: str) -> None:
    """Wait until the message is held, and see that nothing has left."""
    channel = FakeChannel()
    async with process(world, channel) as running:
        await until(lambda: world.rows("pending", f"held_by = '{by}'"))
        await running.end()
    assert channel.arrived == []


async def sent(world: World, channel: FakeChannel | None = None) -> None:
    """Wait until the message is sent."""
    channel = channel or FakeChannel()
    async with process(world, channel) as running:
        await until(lambda: channel.arrived)
        await running.end()


async def looked_again(world: World) -> None:
    """Let the planner put back what is to be looked at again, and see that this was something."""
    assert await world.rows("pending", "lane is null") == 1
    await world.go("planner")


# -- windows


async def test_a_message_outside_its_window_waits_for_the_opening_and_nothing_was_tried(world: World) -> None:
    entered = await set_up(world, definition(delivery=FAR))

    await held(world, "window")
    row = await world.row(entered)

    opening = row["due_active"].astimezone(UTC)
    assert (DAYS[opening.weekday()], opening.hour, opening.minute) == (days_from_now(3), 0, 0)
    assert (row["attempt"], row["lane"], row["token"]) == (0, "email:", None)
    assert row["due_own"] == row["base_active"]
    assert await world.books() == {"planned": 1, "pending": 1}
    assert await world.said() == []


async def test_inside_its_window_it_leaves(world: World) -> None:
    await set_up(world, definition(delivery=DAILY), timezone=at(12))

    await sent(world)


async def test_a_contact_who_moves_to_where_the_window_is_open_gets_the_message(world: World) -> None:
    await set_up(world, definition(delivery=DAILY), timezone=at(4))
    await held(world, "window")

    await contact(world, 2, timezone=at(12))
    await looked_again(world)

    await sent(world)


async def test_a_contact_who_moves_to_where_it_opens_later_waits_longer(world: World) -> None:
    entered = await set_up(world, definition(delivery=DAILY), timezone=at(7))
    await held(world, "window")
    before = (await world.row(entered))["due_active"]

    await contact(world, 2, timezone=at(3))
    await looked_again(world)
    await held(world, "window")

    assert (await world.row(entered))["due_active"] - before == timedelta(hours=4)


async def test_a_change_of_something_else_leaves_a_message_where_its_window_holds_it(world: World) -> None:
    entered = await set_up(world, definition(delivery=FAR), timezone="Europe/Berlin")
    await held(world, "window")

    await contact(world, 2, timezone="Europe/Berlin", attributes={"name": "Grace"})

    assert (await world.row(entered))["held_by"] == "window"


async def test_an_edit_that_opens_the_window_lets_the_message_go_at_once(world: World) -> None:
    await set_up(world, definition(delivery=FAR))
    await held(world, "window")

    await world.sequence(version=2, published=definition())
    await world.go("planner")

    await sent(world)


async def test_a_message_that_was_tried_keeps_its_version_when_a_window_holds_it_and_an_edit_opens_that(
    world: World, booking: Any
) -> None:
    entered = await set_up(world, definition())
    (row,) = await world.claim()
    await world.book(booking(row, "retry", retry_after=timedelta()))
    await world.sequence(version=2, published=definition("b", delivery=FAR))
    await world.go("planner")
    await held(world, "window")

    await world.sequence(version=3, published=definition("c"))
    await world.go("planner")
    again = await world.row(entered)
    await sent(world)

    assert (again["step_id"], again["version"], again["attempt"], again["held_by"]) == ("a", 1, 1, None)
    assert (await world.outcomes())[0] == ("a", "sent")


async def test_a_contact_who_moved_while_the_message_was_looked_at_is_looked_at_again(
    world: World, booking: Any
) -> None:
    entered = await set_up(world, definition(delivery=FAR), timezone="UTC")
    (row,) = await world.claim()
    await contact(world, 2, timezone="Asia/Kolkata")

    opens = utc_now() + timedelta(days=3)
    looked = {"opens_at": opens, "contact_at": row.contact_at, "planned_under": row.effective}
    await world.book(booking(row, "held", **looked))

    assert (await world.row(entered))["held_by"] is None
    assert len(await world.claim()) == 1


async def test_what_a_window_holds_is_not_overdue_at_a_resume_that_skips(world: World) -> None:
    entered = await set_up(world, definition(delivery=FAR))
    await held(world, "window")
    await world.pause(at=utc_now())
    resumed = utc_now()
    await world.resume(paused=resumed, resumed=resumed, overdue="skip", clock_offset_seconds=0.0)

    await world.go("expirer")
    assert await world.outcomes() == []
    await contact(world, 2, timezone="Asia/Kolkata")
    await looked_again(world)
    await world.go("expirer")

    assert await world.outcomes() == []
    assert (await world.row(entered))["due_active"] == resumed + timedelta(microseconds=1)


async def test_a_message_that_is_tried_again_tells_what_it_was_planned_for(world: World) -> None:
    entered = await set_up(world, definition())
    planned = (await world.row(entered))["due_active"]

    await sent(world, FakeChannel(answers=[Result.retry("busy", "busy", after_seconds=0.01)]))
    async with process(world, FakeChannel()) as running:
        await until(lambda: world.rows("message", "outcome = 'sent'"))
        await running.end()

    (told,) = [one for one in await world.said() if one.type == "MessageSent"]
    assert (told.data["attempt"], datetime.fromisoformat(told.data["due_at"])) == (2, planned)


# -- conditions and opt-outs


@pytest.mark.parametrize(
    ("stop_when", "contact_is", "condition"),
    [
        (WON, {"attributes": {"stage": "Won"}}, "success"),
        (LOST, {"tags": ["lost"]}, "failure"),
        ({}, {"opted_out": True}, "opted_out"),
        ({**WON, **LOST}, {"attributes": {"stage": "Won"}, "tags": ["lost"]}, "success"),
    ],
)
async def test_where_a_stop_condition_holds_the_message_is_withheld_and_enrollment_is_told(
    world: World, stop_when: dict[str, Any], contact_is: dict[str, Any], condition: str
) -> None:
    entered = await set_up(world, definition(stop_when=stop_when), state_version=7, **contact_is)

    await held(world, "condition")
    said = await world.said()
    row = await world.row(entered)

    assert [one.type for one in said] == ["StopConditionMet"]
    assert (said[0].data["condition"], said[0].data["contact_version"], said[0].data["sequence_version"]) == (
        condition,
        7,
        1,
    )
    assert (said[0].data["enrollment_id"], said[0].key) == (entered, "c")
    assert (row["lane"], row["held_lane"], row["attempt"]) == ("withheld:", "email:", 0)
    assert await world.books() == {"planned": 1, "pending": 1}


async def test_a_newer_record_of_the_contact_lets_it_go(world: World) -> None:
    await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    await held(world, "condition")

    await contact(world, 2, attributes={"stage": "Open"})
    await looked_again(world)

    await sent(world)


async def test_each_look_is_told_once_and_a_newer_record_is_another_look(world: World) -> None:
    await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    await held(world, "condition")
    told = await world.said()
    await contact(world, 2, attributes={"stage": "Won"})
    await looked_again(world)
    await held(world, "condition")

    told += await world.said()

    assert [one.data["contact_version"] for one in told] == [1, 2]
    assert len({one.envelope["id"] for one in told}) == 2


async def test_a_newer_version_lets_it_go_and_a_pin_does_not(world: World) -> None:
    entered = await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    await held(world, "condition")

    await world.sequence(version=2, published=definition(), follow_version=1, in_flight="pin")
    await world.go("planner")
    pinned = (await world.row(entered))["lane"]
    await world.sequence(version=3, published=definition(), follow_version=3)
    await world.go("planner")

    assert pinned == "withheld:"
    await sent(world)


async def test_what_was_tried_before_is_withheld_and_let_go_in_its_version(world: World, booking: Any) -> None:
    entered = await set_up(world, definition(channel="webhook"))
    (row,) = await world.claim(lane="webhook:")
    await world.book(booking(row, "retry", retry_after=timedelta()))
    await world.sequence(version=2, published=definition("b", stop_when=WON))
    await contact(world, 2, attributes={"stage": "Won"})
    webhook = FakeChannel(name="webhook")
    async with process(world, webhook) as running:
        await until(lambda: world.rows("pending", "lane = 'withheld:'"))
        await running.end()

    await contact(world, 3, attributes={"stage": "Open"})
    await looked_again(world)
    again = await world.row(entered)

    assert (again["lane"], again["version"], again["step_id"], again["attempt"]) == ("webhook:", 1, "a", 1)


async def test_a_removal_drops_what_is_withheld(world: World) -> None:
    entered = await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    await held(world, "condition")
    await world.said()

    said = await world.remove("c", entered)

    assert [(one.type, one.data["dropped"]) for one in said] == [("ContactHalted", 1)]
    assert await world.books() == {"planned": 1, "dropped": 1}


async def test_a_skip_lets_expire_what_is_withheld(world: World) -> None:
    await set_up(world, definition("a", "b", stop_when=WON), attributes={"stage": "Won"})
    await held(world, "condition")
    await world.pause(at=utc_now())
    await world.resume(paused=utc_now(), resumed=utc_now(), overdue="skip", clock_offset_seconds=0.0)

    await world.go("expirer")

    assert await world.outcomes() == [("a", "expired")]
    assert await world.rows("pending", "held_by is null and held_lane is null and lane = 'email:'") == 1
    assert await world.rows("message", "channel = 'email'") == 1


async def test_a_contact_that_changed_while_the_message_was_looked_at_is_looked_at_again_and_not_told(
    world: World, booking: Any
) -> None:
    entered = await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    (row,) = await world.claim()
    await contact(world, 2, attributes={"stage": "Open"})

    looked = {"contact_at": row.contact_at, "planned_under": row.effective, "notice": b"{}"}
    await world.book(booking(row, "withheld", **looked))

    assert (await world.row(entered))["lane"] == "email:"
    assert await world.said() == []


async def test_an_edit_while_the_message_was_looked_at_has_it_looked_at_again(world: World, booking: Any) -> None:
    entered = await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    (row,) = await world.claim()
    await world.sequence(version=2, published=definition())

    looked = {"contact_at": row.contact_at, "planned_under": row.effective, "notice": b"{}"}
    await world.book(booking(row, "withheld", **looked))
    await world.go("planner")

    assert ((await world.row(entered))["lane"], (await world.row(entered))["version"]) == ("email:", 2)
    assert await world.said() == []


async def test_of_an_enrollment_that_ended_while_it_was_looked_at_nothing_is_told(world: World, booking: Any) -> None:
    entered = await set_up(world, definition(stop_when=WON), attributes={"stage": "Won"})
    (row,) = await world.claim()
    await world.stop("c", entered)

    looked = {"contact_at": row.contact_at, "planned_under": row.effective, "notice": b"{}"}
    await world.book(booking(row, "withheld", **looked))

    assert await world.said() == []
    assert await world.books() == {"planned": 1, "dropped": 1}


def opted_out(channel: str | None) -> dict[str, Any]:
    told = {"contact_id": "c", "occurred_at": "2026-03-01T12:00:00Z"}
    return told if channel is None else {**told, "channel": channel}


@pytest.mark.parametrize("channel", ["email", None])
async def test_a_contact_who_wants_nothing_on_a_channel_gets_nothing_there(world: World, channel: str | None) -> None:
    await set_up(world, definition())

    await world.ask("ContactOptedOut", **opted_out(channel))
    await held(world, "condition")

    assert [one.data["condition"] for one in await world.said()] == ["opted_out"]


async def test_on_other_channels_it_gets_its_messages(world: World) -> None:
    await set_up(world, definition())

    await world.ask("ContactOptedOut", **opted_out("whatsapp"))

    await sent(world)


async def test_opt_outs_add_up_and_come_before_the_contact_or_twice(world: World) -> None:
    for channel in ("whatsapp", "email", "whatsapp"):
        await world.ask("ContactOptedOut", **opted_out(channel))
    await set_up(world, definition())

    await held(world, "condition")

    assert await world.rows("contact", "opted_out_of = '{email,whatsapp}' and not gone") == 1


async def test_an_opt_out_survives_the_contact(world: World) -> None:
    await set_up(world, definition())
    await world.ask("ContactOptedOut", **opted_out("email"))
    gone = await world.hear(("contacts.events", "c", None))
    await world.contacts("c")
    await world.sequence("t", published=definition())
    await world.enroll("c", sequence_id="t", contact_offset=2)

    await held(world, "condition")

    assert [one.data["rows"] for one in gone] == [{"contact": 1}]


async def test_what_is_left_of_a_contact_is_no_more_than_the_channels(world: World) -> None:
    await world.ask("ContactOptedOut", **opted_out("email"))

    said = await world.hear(("contacts.events", "c", None))

    assert [one.data["rows"] for one in said] == [{"contact": 0}]
    assert await world.rows("contact", "gone and opted_out_of = '{email}'") == 1
