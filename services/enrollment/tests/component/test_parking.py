"""Enrolls that come before what they depend on wait for it, and our own lag refuses nobody."""

import asyncio
from typing import Any

import pytest
from enrollment.handlers.parking import ROWS_MAX

pytestmark = pytest.mark.stack

World = Any
TOPICS = ("sequences.events", "contacts.events")


def types(said: list[Any]) -> list[str]:
    return [one.type for one in said]


def only(said: list[Any], kind: str) -> Any:
    (found,) = [one for one in said if one.type == kind]
    return found


async def heard_of_others(world: World) -> None:
    """Both readers have a place in their topics."""
    await world.sequence("other")
    await world.contacts("somebody")


async def wait_out(world: World, *topics: str) -> list[Any]:
    """Parked long ago; the readers of these topics had caught up after that, and again more than ten seconds later."""
    await world.age_parked(60)
    for seconds_ago in (30, 15, 2):
        await world.caught_up(seconds_ago, *topics)
        await world.loop.decide_some()
    said: list[Any] = await world.decide_parked()
    return said


async def test_an_enroll_waits_for_its_sequence_and_enters_when_that_is_published(world: World) -> None:
    await world.contacts("c")

    first = await world.enroll("c")
    await world.sequence(as_="SequenceSaved", status="draft", version=None, published=None)
    drafted = await world.decide_parked()
    await world.sequence(state_version=2)
    said = await world.decide_parked()

    assert (first, drafted) == ([], [])
    assert sorted(types(said)) == ["CommandAccepted", "ContactEnrolled"]
    assert said[0].data["enrollment_id"] == only(said, "CommandAccepted").data["result"]["enrollment_id"]
    assert only(said, "CommandAccepted").key == only(said, "CommandAccepted").data["command"]["id"]
    assert only(said, "ContactEnrolled").envelope["actor"] == "ann"
    assert await world.rows("parked_command") == 0


async def test_an_enroll_waits_for_its_contact(world: World) -> None:
    await world.sequence()

    first = await world.enroll("late")
    await world.contacts("late")
    said = await world.decide_parked()

    assert first == []
    assert sorted(types(said)) == ["CommandAccepted", "ContactEnrolled"]


async def test_a_repeat_of_what_waits_gets_no_answer_until_there_is_one(world: World) -> None:
    await world.sequence()
    record = world.record("EnrollContact", {"contact_id": "late", "sequence_id": "welcome"})
    await world.hear(record)

    repeated = await world.hear(record)
    await world.contacts("late")
    said = await world.decide_parked()
    again = await world.hear(record)

    assert repeated == []
    assert types(again) == ["CommandAccepted"]
    assert again[0].value == only(said, "CommandAccepted").value


@pytest.mark.parametrize(
    ("known", "code"),
    [("nothing", "not_found"), ("a draft", "sequence_not_active"), ("the sequence", "contact_unknown")],
)
async def test_what_stays_unheard_of_is_refused_in_the_end(world: World, known: str, code: str) -> None:
    await heard_of_others(world)
    if known == "a draft":
        await world.sequence(as_="SequenceSaved", status="draft", version=None, published=None)
    if known == "the sequence":
        await world.sequence()
    await world.enroll("nobody")

    said = await wait_out(world, *TOPICS)

    assert only(said, "CommandRejected").data["code"] == code
    assert only(said, "EnrollmentRefused").data["code"] == code
    assert await world.rows("parked") == 0


async def test_a_reader_that_lags_refuses_nobody_however_long_it_takes(world: World) -> None:
    await heard_of_others(world)
    await world.sequence()
    await world.enroll("nobody")

    said = await wait_out(world, "sequences.events")
    still = await world.rows("parked")
    later = await wait_out(world, "contacts.events")

    assert (said, still) == ([], 1)
    assert only(later, "CommandRejected").data["code"] == "contact_unknown"


async def test_nobody_is_refused_before_the_time_is_over(world: World) -> None:
    await heard_of_others(world)
    await world.sequence()
    await world.enroll("nobody")

    await world.age_parked(60)
    for seconds_ago in (8, 5, 0):
        await world.caught_up(seconds_ago, *TOPICS)
        await world.loop.decide_some()

    assert await world.said() == []
    assert await world.rows("parked") == 1


async def test_a_partition_that_was_never_read_keeps_everybody_waiting(world: World) -> None:
    await heard_of_others(world)
    await world.sequence()
    await world.enroll("nobody")
    async with world.pool.acquire() as conn:
        await conn.execute("update consumer_offset set partitions = 2")

    assert await wait_out(world, *TOPICS) == []


async def test_an_import_lets_in_whom_it_can_and_answers_when_all_are_decided(world: World) -> None:
    await heard_of_others(world)
    await world.sequence()
    await world.contacts("a", "b")
    await world.enroll("b")

    at_once = await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=["a", "late", "b", "never"])
    await world.contacts("late")
    later = await world.decide_parked()
    last = await wait_out(world, *TOPICS)

    assert [(one.type, one.key) for one in at_once] == [("ContactEnrolled", "a"), ("EnrollmentRefused", "b")]
    assert [(one.type, one.key) for one in later] == [("ContactEnrolled", "late")]
    assert only(last, "CommandAccepted").data["result"] == {
        "enrolled": 2,
        "refused": {"already_enrolled": 1, "contact_unknown": 1},
    }
    told = [*at_once, *later, *last]
    assert len({one.envelope["id"] for one in told}) == len(told)


async def test_many_enrolls_of_the_same_contacts_are_decided_a_few_at_a_time(world: World) -> None:
    people = [f"c{n}" for n in range(400)]
    await world.contacts(*people)
    for number in range(5):
        await world.ask("EnrollContacts", sequence_id=f"s{number}", contact_ids=people)
    for number in range(5):
        await world.sequence(f"s{number}")

    decided = []
    while await world.loop.decide_some():
        decided.append(len([one for one in await world.said() if one.type == "ContactEnrolled"]))

    assert sum(decided) == 2_000
    assert all(0 < rows < ROWS_MAX + 5 for rows in decided)
    assert await world.rows("parked_command") == 0


async def test_a_later_enroll_of_the_same_key_is_decided_after_the_one_that_waits(world: World) -> None:
    await world.sequence("known")
    await world.contacts("c")
    await world.enroll("c", "unknown")

    behind = await world.enroll("c", "known")
    beside = await world.ask("EnrollContacts", sequence_id="known", contact_ids=["c"])
    await world.sequence("unknown")
    said = await world.decide_parked()

    assert behind == []
    assert "ContactEnrolled" in types(beside)
    assert [(one.type, one.data.get("sequence_id")) for one in said if one.topic == "enrollment.events"] == [
        ("ContactEnrolled", "unknown"),
        ("EnrollmentRefused", "known"),
    ]


async def test_what_waits_behind_a_refusal_is_decided_then(world: World) -> None:
    await heard_of_others(world)
    await world.sequence("known")
    await world.contacts("c")
    await world.enroll("c", "never")
    await world.enroll("c", "known")

    said = await wait_out(world, *TOPICS)

    assert [(one.type, one.data["sequence_id"]) for one in said if one.topic == "enrollment.events"] == [
        ("EnrollmentRefused", "never"),
        ("ContactEnrolled", "known"),
    ]


async def test_a_removal_refuses_what_waits_and_lets_the_next_of_the_key_go_on(world: World) -> None:
    await world.sequence("known")
    await world.contacts("c")
    await world.enroll("c", "unknown")
    await world.enroll("c", "known")

    said = await world.ask("RemoveContact", contact_id="c", sequence_id="unknown")
    later = await world.decide_parked()
    await world.sequence("unknown")
    after = await world.enroll("c", "unknown")

    assert sorted(types(said)) == ["CommandAccepted", "CommandRejected", "ContactRemoved", "EnrollmentRefused"]
    assert only(said, "CommandRejected").data["code"] == "removed"
    assert only(later, "ContactEnrolled").data["sequence_id"] == "known"
    assert only(after, "CommandRejected").data["code"] == "removed"


async def test_a_sequence_that_is_deleted_refuses_who_waited_for_anything(world: World) -> None:
    await world.sequence()
    await world.enroll("late")

    closed = await world.delete()
    said = await world.erase()

    assert types(closed) == ["EntryClosed"]
    assert only(said, "CommandRejected").data["code"] == "deleted"
    rows = {table: count for table, count in only(said, "SequenceErased").data["rows"].items() if count}
    assert rows == {"parked": 1, "version": 1, "sequence": 1}


async def test_a_sequence_that_is_deleted_does_not_wait_for_who_waits_behind_another(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    await world.enroll("c", "unknown")
    await world.enroll("c", "welcome")
    await world.enroll("c", "welcome")

    await world.delete()
    async with asyncio.timeout(10):
        said = await world.erase()
    later = await world.enroll("c", "welcome")

    assert [one.data["code"] for one in said if one.type == "CommandRejected"] == ["deleted", "deleted"]
    assert only(said, "SequenceErased").data["rows"]["parked"] == 2
    assert await world.rows("parked", "sequence_id = 'welcome'") == 0
    assert only(later, "CommandRejected").data["code"] == "deleted"


async def test_a_loop_that_starts_again_counts_from_its_start(world: World) -> None:
    await heard_of_others(world)
    await world.sequence()
    await world.enroll("nobody")
    await world.age_parked(60)
    await world.caught_up(30, *TOPICS)
    await world.loop.decide_some()

    world.restarted_loop()
    await world.caught_up(2, *TOPICS)

    assert await world.decide_parked() == []
