"""Where two transactions meet: nobody waits in a circle, and times follow the order of the locks."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from enrollment.store import contacts
from enrollment.store.contacts import Heard
from structlog.testing import capture_logs

pytestmark = pytest.mark.stack

World = Any
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and usename = current_user"
LOCK_CONTACT = "select from contact where contact_id = $1 for update"
LOCK_ENROLLMENT = "select from enrollment where contact_id = $1 for update"


def of(said: list[Any], kind: str) -> list[Any]:
    return [one for one in said if one.type == kind]


async def blocked(world: World, work: Awaitable[Any], *, waiting: int) -> asyncio.Task[Any]:
    """Start it, and come back when so many transactions wait for a lock."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(5), world.pool.acquire() as conn:
        while await conn.fetchval(WAITING) < waiting:
            assert not task.done()
    return task


async def test_contacts_that_become_known_while_they_are_enrolled_wait_in_one_order(world: World) -> None:
    await world.contacts("a")

    async def hear() -> None:
        async with world.begin() as tx:
            await contacts.hear(tx.conn, [Heard("a", 2, 0, 5, False), Heard("new", 1, 0, 6, False)])

    async def lock() -> None:
        async with world.begin() as tx:
            await contacts.lock_known_or_not(tx.conn, ["new", "a"])

    async with world.begin() as tx:
        await tx.conn.execute(LOCK_CONTACT, "a")
        hearing = await blocked(world, hear(), waiting=1)
        locking = await blocked(world, lock(), waiting=2)
    async with asyncio.timeout(5):
        await hearing  # a deadlock is raised here or below
        await locking

    assert await world.rows("contact", "state_version is not null") == 2


async def test_ends_and_removals_at_the_same_time_wait_in_one_order(world: World) -> None:
    await world.sequence()
    await world.contacts("a", "b")
    entered = [of(await world.enroll(contact_id), "ContactEnrolled")[0].data for contact_id in "ab"]
    one, two = [
        {name: data[name] for name in ("enrollment_id", "contact_id", "sequence_id", "version", "occurred_at")}
        for data in entered
    ]
    failure = {"message_id": "m", "step_id": "s", "channel": "email", "attempt": 1, "code": "550", "detail": "gone"}
    reports = [world.record("StepsFinished", two), world.record("MessageFailed", {**one, **failure})]
    removals = [world.record("RemoveContact", {"contact_id": contact_id}) for contact_id in "ab"]

    with capture_logs() as logs:
        async with world.begin() as tx:
            await tx.conn.execute(LOCK_ENROLLMENT, "b")
            reporting = await blocked(world, world.hear(*reports), waiting=1)
            removing = await blocked(world, world.hear(*removals), waiting=2)
        async with asyncio.timeout(10):
            said = [*await reporting, *await removing, *await world.said()]

    assert [log["event"] for log in logs] == []
    assert len(of(said, "EnrollmentCompleted")) == len(of(said, "EnrollmentFailed")) == 1
    assert [one.data["enrollment_ids"] for one in of(said, "ContactRemoved")] == [[], []]


async def test_what_an_opt_out_stops_did_not_begin_after_its_end(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    async with world.begin() as entering:
        await contacts.lock(entering.conn, ["c"])
        opting_out = await blocked(world, world.contacts("c", state_version=2, opted_out=True), waiting=1)
        entered_at = await entering.conn.fetchval(
            "insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at) "
            "values ('welcome', 'c', gen_random_uuid(), 1, 0, clock_timestamp()) returning enrolled_at"
        )

    (stopped,) = of(await opting_out, "EnrollmentStopped")

    assert stopped.data["occurred_at"] > entered_at.isoformat()
    assert await world.rows("enrollment", "ended_at < enrolled_at") == 0


async def test_removals_amid_imports_win_over_whatever_comes_after_them(world: World) -> None:
    await world.sequence()
    people = [f"c{n}" for n in range(100)]
    await world.contacts(*people)
    imports = [asyncio.create_task(world.import_on(n, *[people[n::2], people[::-1]] * 5)) for n in range(4)]
    while await world.rows("enrollment") == 0:
        pass

    said = []
    for first in range(0, 100, 20):
        removals = [{"contact_id": one, "sequence_id": "welcome"} for one in people[first : first + 20]]
        said += await world.hear(*[world.record("RemoveContact", removal) for removal in removals])
    await asyncio.gather(*imports)
    said += await world.said()

    assert await world.rows("enrollment", "status = 'active'") == 0
    told = [(one.key, one.type) for one in said if one.type in ("ContactEnrolled", "ContactRemoved")]
    for contact_id in people:
        own = [kind for key, kind in told if key == contact_id]
        assert own in (["ContactRemoved"], ["ContactEnrolled", "ContactRemoved"])


async def test_a_deletion_amid_imports_leaves_nobody_in(world: World) -> None:
    await world.sequence()
    people = [[f"{n}-{number}" for number in range(100)] for n in range(4)]
    for chunk in people:
        await world.contacts(*chunk)
    tens = [[chunk[first : first + 10] for first in range(0, 100, 10)] for chunk in people]
    imports = [asyncio.create_task(world.import_on(n, *chunks)) for n, chunks in enumerate(tens)]
    while await world.rows("enrollment") == 0:
        pass

    said = [*await world.delete(), *await world.erase()]
    await asyncio.gather(*imports)
    said += await world.said()

    (closed,), (erased,) = of(said, "EntryClosed"), of(said, "SequenceErased")
    entered = of(said, "ContactEnrolled")
    assert await world.rows("enrollment") == 0
    assert all(one.data["occurred_at"] < closed.data["closed_at"] for one in entered)
    assert erased.data["rows"]["enrollment"] == len(entered) > 0
    assert {one.data["code"] for one in of(said, "EnrollmentRefused")} <= {"deleted"}
    assert len(entered) + len(of(said, "EnrollmentRefused")) == 400
