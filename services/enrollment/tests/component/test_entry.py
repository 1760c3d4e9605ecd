"""Who enters and who does not, and what everybody is told."""

import asyncio
from typing import Any

import orjson
import pytest
from enrollment.store import sequences
from structlog.testing import capture_logs

pytestmark = pytest.mark.stack

World = Any


def types(said: list[Any]) -> list[str]:
    return [one.type for one in said]


def only(said: list[Any], kind: str) -> Any:
    (found,) = [one for one in said if one.type == kind]
    return found


async def test_a_contact_enters_an_active_sequence(world: World) -> None:
    await world.sequence(version=3)
    await world.contacts("a", "c")

    said = await world.enroll("c")

    entered, accepted = only(said, "ContactEnrolled"), only(said, "CommandAccepted")
    assert accepted.data["result"] == {"enrollment_id": entered.data["enrollment_id"]}
    assert (accepted.topic, accepted.key) == ("enrollment.answers", accepted.data["command"]["id"])
    assert (entered.topic, entered.key) == ("enrollment.events", "c")
    assert (entered.data["version"], entered.data["via"], entered.data["contact_offset"]) == (3, "command", 1)
    assert entered.envelope["actor"] == "ann"


async def test_entering_twice_is_refused_and_told_once_each(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    await world.enroll("c")

    said = await world.enroll("c")

    assert sorted(types(said)) == ["CommandRejected", "EnrollmentRefused"]
    assert {one.data["code"] for one in said} == {"already_enrolled"}


async def test_the_same_command_again_gets_the_same_answer_and_changes_nothing(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    record = world.record("EnrollContact", {"contact_id": "c", "sequence_id": "welcome"})

    first = await world.hear(record)
    again = await world.hear(record)

    assert types(again) == ["CommandAccepted"]
    assert again[0].value == only(first, "CommandAccepted").value


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"as_": "SequencePaused", "status": "paused", "epoch": 1}, "sequence_paused"),
        ({"as_": "SequenceDeleted", "status": "deleted", "epoch": 1, "published": None}, "deleted"),
        ({"version": None, "published": None}, "sequence_not_active"),
    ],
)
async def test_a_sequence_that_is_not_open_refuses_at_once(world: World, state: dict[str, Any], code: str) -> None:
    await world.sequence(**state)

    said = await world.enroll("unheard-of")

    assert only(said, "CommandRejected").data["code"] == code
    assert only(said, "EnrollmentRefused").data["code"] == code


async def test_an_import_counts_each_contact_once_and_tells_of_every_one(world: World) -> None:
    await world.sequence()
    await world.contacts("a", "b", "c")
    await world.contacts("d", opted_out=True)
    await world.enroll("a")

    said = await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=["c", "a", "b", "d", "c"])

    assert only(said, "CommandAccepted").data["result"] == {
        "enrolled": 2,
        "refused": {"already_enrolled": 1, "opted_out": 1},
    }
    assert [(one.type, one.key, one.data["via"]) for one in said if one.topic == "enrollment.events"] == [
        ("ContactEnrolled", "c", "import"),
        ("EnrollmentRefused", "a", "import"),
        ("ContactEnrolled", "b", "import"),
        ("EnrollmentRefused", "d", "import"),
    ]


async def test_chunks_in_one_batch_that_share_a_contact_let_it_in_once(world: World) -> None:
    await world.sequence()
    await world.contacts("a", "b", "c")

    said = await world.hear(
        world.record("EnrollContacts", {"sequence_id": "welcome", "contact_ids": ["a", "b"]}),
        world.record("EnrollContacts", {"sequence_id": "welcome", "contact_ids": ["b", "c"]}),
    )

    results = [one.data["result"] for one in said if one.type == "CommandAccepted"]
    assert results == [
        {"enrolled": 2, "refused": {}},
        {"enrolled": 1, "refused": {"already_enrolled": 1}},
    ]
    assert await world.rows("enrollment") == 3


async def test_an_import_that_is_too_large_is_refused_as_a_whole(world: World) -> None:
    await world.sequence()

    said = await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=[f"c{n}" for n in range(1_001)])

    assert types(said) == ["CommandRejected"]
    assert said[0].data["code"] == "limit"
    assert await world.rows("contact") == 0


async def test_imports_at_the_same_time_let_nobody_in_twice(world: World) -> None:
    await world.sequence()
    people = [f"c{n}" for n in range(300)]
    await world.contacts(*people)

    await asyncio.gather(*[world.import_on(partition, people, people[::-1]) for partition in range(3)])
    said = await world.said()

    assert types(said).count("ContactEnrolled") == 300
    assert sum(one.data["result"]["enrolled"] for one in said if one.type == "CommandAccepted") == 300


async def test_a_pause_amid_imports_closes_soon_and_nobody_enters_after_it(world: World) -> None:
    await world.sequence()
    people = [[f"{partition}-{n}-{i}" for i in range(50)] for partition in range(4) for n in range(30)]
    for chunk in people:
        await world.contacts(*chunk)
    imports = [
        asyncio.create_task(world.import_on(partition, *people[partition * 30 : partition * 30 + 30]))
        for partition in range(4)
    ]
    while await world.rows("enrollment") == 0:
        pass

    async with asyncio.timeout(5):
        closed = only(await world.pause(), "EntryClosed")
    await asyncio.gather(*imports)
    said = await world.said()

    entered_late = await world.rows("enrollment", f"enrolled_at > '{closed.data['closed_at']}'")
    assert entered_late == 0
    assert 0 < await world.rows("enrollment") < 6_000
    assert "sequence_paused" in {one.data["code"] for one in said if one.type == "EnrollmentRefused"}


async def test_a_pause_closes_entry_once_for_its_epoch(world: World) -> None:
    await world.sequence()

    said = await world.pause()
    again = await world.sequence(as_="SequenceStopped", status="paused", state_version=3, epoch=1, receipts=RECEIPTS)
    resumed = await world.sequence(as_="SequenceResumed", state_version=4, epoch=2)
    later = await world.pause(state_version=5, epoch=3)

    assert types(said) == ["EntryClosed"]
    assert (said[0].topic, said[0].key, said[0].data["epoch"]) == ("enrollment.control", "welcome", 1)
    assert (again, resumed) == ([], [])
    assert [one.data["epoch"] for one in later] == [3]


RECEIPTS = {
    "entry_closed_at": "2026-03-01T12:00:00Z",
    "halted_at": "2026-03-01T12:00:00Z",
    "dropped": 0,
    "in_flight": 0,
}


async def test_an_older_state_of_a_sequence_changes_nothing(world: World) -> None:
    await world.sequence(state_version=1)
    await world.pause(state_version=5, epoch=1)
    await world.contacts("c")

    await world.sequence(state_version=4)

    assert only(await world.enroll("c"), "CommandRejected").data["code"] == "sequence_paused"


async def test_closing_waits_for_who_is_entering_and_nobody_enters_after_it(world: World) -> None:
    await world.sequence()
    async with world.begin() as entering:
        await sequences.share(entering.conn, ["welcome"])
        pausing = asyncio.create_task(world.pause())
        done, _ = await asyncio.wait([pausing], timeout=0.3)
        left_at = await entering.conn.fetchval("select clock_timestamp()")

    (closed,) = await pausing

    assert not done
    assert closed.data["closed_at"] > left_at.isoformat()


async def test_a_state_that_is_not_understood_closes_entry_until_a_newer_one(world: World) -> None:
    await world.sequence()
    await world.contacts("c", "d")
    topic, key, value = world.record("SequencePaused", {**STATE_OF_PAUSE, "sequence_id": "welcome"})

    said = await world.hear((topic, key, value.replace(b'"paused"', b'"resting"')))
    refused = await world.enroll("c")
    await world.sequence(as_="SequenceResumed", state_version=3, epoch=2)
    entered = await world.enroll("d")

    assert [one.topic for one in said] == ["enrollment.quarantine"]
    assert only(refused, "CommandRejected").data["code"] == "sequence_not_active"
    assert "ContactEnrolled" in types(entered)


async def test_a_pause_of_which_only_the_fence_can_be_read_is_closed_with_its_receipt(world: World) -> None:
    await world.sequence()
    topic, key, value = world.record("SequencePaused", {**STATE_OF_PAUSE, "sequence_id": "welcome"})

    said = await world.hear((topic, key, value.replace(b'"follow"', b"[]")))

    assert sorted(types(said)) == ["EntryClosed", "quarantined"]
    assert only(said, "EntryClosed").data["epoch"] == 1


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("no id", {"status": "paused", "epoch": 1, "state_version": 2}),
        ("a\0b", {"status": "deleted", "epoch": 1, "state_version": 2}),
        ("welcome", {"status": "paused", "epoch": -1, "state_version": 2}),
        ("welcome", {"status": "paused", "epoch": 2**63, "state_version": 2}),
        ("welcome", {"status": "active", "epoch": -1, "state_version": 2**63}),
        ("welcome", {"status": "paused", "epoch": 1, "state_version": -1}),
        ("a\0b", None),
        ("no id", None),
    ],
)
async def test_a_record_that_is_nonsense_holds_nobody_up(world: World, key: str, data: dict[str, Any] | None) -> None:
    await world.sequence()
    envelope = {"specversion": "1.0", "id": "x", "source": "tests", "type": "SequencePaused.v1", "data": data}
    nonsense = ("sequences.events", key, None if data is None else orjson.dumps(envelope))

    with capture_logs() as logs:
        said = await world.hear(nonsense, world.record("SequencePublished", {**STATE_OF_OTHER, "sequence_id": "other"}))

    assert {one.topic for one in said} <= {"enrollment.quarantine", "enrollment.control"}
    assert {log["event"] for log in logs} == set()
    assert await world.rows("sequence", "status = 'active'") == 1 + (key != "welcome")
    assert await world.rows("consumer_offset", "withheld") == 0


STATE_OF_PAUSE = {
    "state_version": 2,
    "status": "paused",
    "epoch": 1,
    "revision": 1,
    "version": 1,
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": "2026-03-01T12:00:00Z",
}
STATE_OF_OTHER = {**STATE_OF_PAUSE, "status": "active"}
