"""Enrollments that begin and end, in whatever order that is heard."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

pytestmark = pytest.mark.stack

World = Any

UNKNOWN = "00000000-0000-8000-a000-000000000000"
UNKNOWN_EVENT = orjson.dumps({"type": "MessageUnknown.v1", "data": {}})
STOPPED = {
    "contact_id": "c",
    "sequence_id": "s",
    "version": 1,
    "occurred_at": "2026-03-01T12:00:00Z",
    "reason": "success",
}


async def set_up(world: World, *contacts: str) -> list[str]:
    await world.sequence()
    await world.contacts(*contacts)
    enrolled: list[str] = await world.enroll(*contacts)
    return enrolled


async def test_who_enters_gets_the_first_message_planned(world: World) -> None:
    (entered,) = await set_up(world, "c")

    row = await world.row(entered)

    assert (row["step_id"], row["lane"], row["version"]) == ("hello", "email:", 1)
    assert row["due_active"] == row["base_active"]
    assert await world.books() == {"planned": 1, "pending": 1}


async def test_the_same_enrollment_twice_is_one(world: World) -> None:
    await set_up(world, "c")

    await world.enroll("c")

    assert await world.books() == {"planned": 1, "pending": 1}


async def test_who_enters_what_is_not_heard_of_yet_is_planned_once_it_is(world: World) -> None:
    (entered,) = await world.enroll("c")
    before = await world.go("planner")
    waiting = await world.row(entered)

    await world.publish("s")
    await world.go("planner")
    planned = await world.row(entered)

    assert (before, waiting["lane"]) == ([], None)
    assert (planned["lane"], planned["due_active"]) == ("email:", waiting["base_active"])
    assert await world.books() == {"planned": 1, "pending": 1}


async def test_a_removal_drops_what_waits_and_says_so_once(world: World) -> None:
    first, second = await set_up(world, "c", "d")

    (receipt,) = await world.remove("c", first)

    assert (receipt.type, receipt.topic, receipt.key) == ("ContactHalted", "delivery.control", "c")
    assert receipt.data["enrollment_ids"] == [first]
    assert (receipt.data["dropped"], receipt.data["in_flight"]) == (1, 0)
    assert await world.books() == {"planned": 2, "pending": 1, "dropped": 1}
    assert [row.enrollment_id for row in await world.claim()] == [second]
    assert await world.halt() == []


async def test_a_removal_of_nobody_is_receipted_too(world: World) -> None:
    (receipt,) = await world.remove("stranger")

    assert receipt.data["enrollment_ids"] == []
    assert (receipt.data["dropped"], receipt.data["in_flight"]) == (0, 0)


async def test_a_removal_waits_for_the_claim_and_nothing_follows_what_had_left(world: World, sent: Any) -> None:
    (entered,) = await set_up(world, "c")
    (row,) = await world.claim()

    at_once = await world.remove("c", entered)
    await world.book(sent(row, "again", notice=b"{}"))
    booked = await world.said()
    (receipt,) = await world.halt()

    assert at_once == []
    assert [one.type for one in booked] == ["MessageSent"]
    assert receipt.data["in_flight"] == 1
    assert await world.row(entered) is None
    assert await world.books() == {"planned": 1, "sent": 1}


@pytest.mark.parametrize("ending", ["retry", "released", "postponed"])
async def test_what_had_not_left_when_its_enrollment_ended_is_dropped(world: World, booking: Any, ending: str) -> None:
    (entered,) = await set_up(world, "c")
    (row,) = await world.claim()
    await world.stop("c", entered)

    await world.book(booking(row, ending, retry_after=timedelta(seconds=1)))

    assert await world.row(entered) is None
    assert await world.outcomes() == [("hello", "dropped")]
    assert await world.books() == {"planned": 1, "dropped": 1}
    assert await world.said() == []


async def test_what_may_have_arrived_and_was_to_be_tried_again_is_unknown_once_its_enrollment_ends(
    world: World, booking: Any
) -> None:
    (entered,) = await set_up(world, "c")
    (row,) = await world.claim()
    await world.book(booking(row, "retry", retry_after=timedelta(seconds=1), in_doubt=True, event=b"{}"))

    said = await world.remove("c", entered)

    assert [one.type for one in said] == ["MessageUnknown", "ContactHalted"]
    assert said[1].data["dropped"] == 0
    assert await world.outcomes() == [("hello", "unknown")]
    assert await world.books() == {"planned": 1, "unknown": 1}


@pytest.mark.parametrize("ended_before", [True, False])
async def test_what_may_have_arrived_is_unknown_where_its_enrollment_ended_in_flight(
    world: World, booking: Any, ended_before: bool
) -> None:
    (entered,) = await set_up(world, "c")
    (row,) = await world.claim()
    doubtful = booking(row, "retry", retry_after=timedelta(0), in_doubt=True, event=UNKNOWN_EVENT)
    if not ended_before:
        await world.book(doubtful)
        (row,) = await world.claim()
        doubtful = booking(row, "retry", retry_after=timedelta(0), event=UNKNOWN_EVENT)

    await world.stop("c", entered)
    await world.book(doubtful)

    assert [one.type for one in await world.said()] == ["MessageUnknown"]
    assert await world.outcomes() == [("hello", "unknown")]
    assert await world.books() == {"planned": 1, "unknown": 1}


async def test_a_removal_also_waits_for_and_names_what_something_else_had_ended(world: World, sent: Any) -> None:
    (entered,) = await set_up(world, "c")
    (row,) = await world.claim()
    await world.stop("c", entered)

    waiting = await world.remove("c", sequence_id="s")
    elsewhere = await world.remove("c", sequence_id="other")
    await world.book(sent(row))
    await world.said()
    (receipt,) = await world.halt()

    assert waiting == []
    assert [one.data["enrollment_ids"] for one in elsewhere] == [[]]
    assert (receipt.data["enrollment_ids"], receipt.data["in_flight"]) == ([entered], 1)


async def test_after_the_longest_lease_a_removal_is_receipted(world: World) -> None:
    (entered,) = await set_up(world, "c")
    await world.claim()
    await world.remove("c", entered)
    before = await world.halt()
    world.monotonic.move(22.1)

    lapsed = await world.halt()

    assert before == []
    assert [one.type for one in lapsed] == ["ContactHalted"]


async def test_a_removal_that_meets_a_claim_under_way_waits_for_its_commit_and_sees_it(world: World) -> None:
    (entered,) = await set_up(world, "c")
    async with world.pool.acquire() as conn:
        claiming = conn.transaction()
        await claiming.start()
        await conn.execute("update pending set token = 7, epoch = 0, attempt = 1")
        await conn.execute("insert into claim values (7, 'other', now(), array[$1::uuid])", entered)
        removal = asyncio.create_task(world.remove("c", entered))
        async with asyncio.timeout(5):
            while not await conn.fetchval("select exists (select from pg_locks where not granted)"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await claiming.commit()

        assert await removal == []
    assert await world.rows("pending", "halted and token = 7") == 1
    assert await world.rows("contact_halt", "in_flight = 1") == 1


@pytest.mark.parametrize("how", ["remove", "stop"])
async def test_an_enrollment_that_is_heard_of_after_its_end_never_enters(world: World, how: str) -> None:

    await world.sequence()
    await getattr(world, how)("c", world.enrollment_of("c"))

    await world.enroll("c")

    assert await world.rows("pending") == 0
    assert await world.books() == {}


async def test_an_entry_and_its_end_at_the_same_moment_never_miss_each_other(world: World) -> None:

    await world.sequence()
    names = [f"c{number}" for number in range(8)]

    await asyncio.gather(
        *[world.enroll(name) for name in names[:1]],
        *[world.remove(names[0], world.enrollment_of(name)) for name in names[:1]],
    )

    assert await world.rows("pending") == 0


async def test_ends_in_a_record_that_cannot_be_read_hold_and_the_record_is_kept(world: World) -> None:
    (entered,) = await set_up(world, "c")
    topic, key, value = world.record(
        "ContactRemoved",
        {
            "removal_id": "r",
            "contact_id": "c",
            "enrollment_ids": [entered],
            "allow_reentry": False,
            "occurred_at": "2026-03-01T12:00:00Z",
        },
    )
    broken = value.replace(b'"allow_reentry":false', b'"allow_reentry":"perhaps"')

    said = await world.hear((topic, key, broken))

    assert [(one.type, one.value) for one in said] == [("quarantined", broken)]
    assert await world.rows("pending") == 0
    assert await world.books() == {"planned": 1, "dropped": 1}


@pytest.mark.parametrize(
    "named", [{}, {"enrollment_ids": [{"id": "x"}]}, {"enrollment_ids": "x"}, {"enrollment_id": 7}]
)
async def test_an_end_that_does_not_say_whose_it_is_withholds_the_heartbeat(world: World, named: Any) -> None:
    await set_up(world, "c")
    topic, key, value = world.record("EnrollmentStopped", STOPPED | {"enrollment_id": UNKNOWN})
    broken = orjson.dumps(orjson.loads(value) | {"data": named})

    said = await world.hear((topic, key, broken))

    assert [one.type for one in said] == ["quarantined"]
    assert await world.rows("consumer_offset", "withheld") == 1


async def test_a_broken_end_whose_key_no_database_takes_is_fenced_all_the_same(world: World) -> None:
    (entered,) = await set_up(world, "c")
    topic, _, value = world.record("EnrollmentStopped", STOPPED | {"enrollment_id": entered})

    said = await world.hear((topic, b"c\x00", value))

    assert [one.type for one in said] == ["quarantined"]
    assert await world.rows("pending") == 0


async def test_a_contact_that_is_gone_is_emptied_and_receipted(world: World) -> None:
    await set_up(world, "c")

    said = await world.hear(("contacts.events", "c", None))
    again = await world.hear(("contacts.events", "stranger", None), ("contacts.events", b"c\x00", None))

    (receipt,) = said
    assert (receipt.type, receipt.topic) == ("ContactErased", "erasure.receipts")
    assert (receipt.data["service"], receipt.data["rows"]) == ("delivery", {"contact": 1})
    assert [(one.key, one.data["rows"]) for one in again] == [("stranger", {"contact": 0})]
    assert await world.rows("contact", "attributes <> '{}' or addresses <> '{}'") == 0
    (row,) = await world.claim()
    assert row.attributes is None


async def test_nothing_of_an_old_enrollment_goes_to_a_new_contact_with_the_same_id(world: World) -> None:
    await set_up(world, "c")
    await world.hear(("contacts.events", "c", None))
    await world.contacts("c", addresses={"email": "somebody-else@example.org"})

    (row,) = await world.claim()

    assert row.addresses is None


async def test_nothing_of_a_new_enrollment_goes_to_what_is_known_of_the_old_contact(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    await world.enroll("c", contact_offset=2)

    (early,) = await world.claim()
    await world.hear(("contacts.events", "c", None))
    await world.contacts("c", addresses={"email": "new@example.org"})
    async with world.pool.acquire() as conn:
        await conn.execute("update pending set token = null, epoch = null")
    (late,) = await world.claim()

    assert early.addresses is None
    assert late.addresses == '{"email": "new@example.org"}'


async def test_an_older_record_of_a_contact_changes_nothing(world: World) -> None:
    await world.contacts("c", state_version=5, attributes={"name": "New"})

    await world.contacts("c", state_version=4, attributes={"name": "Old"})

    assert await world.rows("contact", "attributes->>'name' = 'New'") == 1
