"""How enrollments end, what is blocked, and what is erased."""

from typing import Any

import pytest
from enrollment.handlers import erasure

pytestmark = pytest.mark.stack

World = Any


def types(said: list[Any]) -> list[str]:
    return [one.type for one in said]


def only(said: list[Any], kind: str) -> Any:
    (found,) = [one for one in said if one.type == kind]
    return found


def code_of(said: list[Any]) -> str:
    code: str = only(said, "CommandRejected").data["code"]
    return code


async def enrolled(world: World, contact_id: str = "c", sequence_id: str = "welcome") -> dict[str, Any]:
    """A contact that is in; the data of its ContactEnrolled."""
    data: dict[str, Any] = dict(only(await world.enroll(contact_id, sequence_id), "ContactEnrolled").data)
    return data


async def report(world: World, kind: str, entered: dict[str, Any], **more: Any) -> list[Any]:
    common = ("enrollment_id", "contact_id", "sequence_id", "version", "occurred_at")
    said: list[Any] = await world.ask(kind, **{name: entered[name] for name in common}, **more)
    return said


NOTHING_OF_A_CONTACT = dict.fromkeys(("enrollment", "block", "turned_away", "condition_met", "parked", "contact"), 0)
NOTHING_OF_A_SEQUENCE = {
    **dict.fromkeys(("enrollment", "block", "turned_away", "ended_pause", "condition_met", "version", "parked"), 0),
    "sequence": 1,
}
FAILURE = {"message_id": "m", "step_id": "welcome", "channel": "email", "attempt": 1, "code": "550", "detail": "gone"}


RESOLVED = {"message_id": "m", "step_id": "welcome", "channel": "email", "attempt": 1, "by": "report"}


async def campaigns(world: World) -> None:
    """Three sequences, two of them of the campaign `spring`, and a contact."""
    for sequence_id in ("one", "two", "three"):
        published = {"name": sequence_id, "campaign": "spring"} if sequence_id != "three" else {"name": sequence_id}
        await world.sequence(sequence_id, published=published)
    await world.contacts("c")


async def test_a_removal_ends_what_lives_says_so_once_and_blocks(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    entered = await enrolled(world)

    said = await world.ask("RemoveContact", contact_id="c", sequence_id="welcome")
    again = await world.ask("RemoveContact", contact_id="c", sequence_id="welcome")

    removed, accepted = only(said, "ContactRemoved"), only(said, "CommandAccepted")
    assert (removed.topic, removed.key) == ("enrollment.control", "c")
    assert removed.data["enrollment_ids"] == accepted.data["result"]["removed"] == [entered["enrollment_id"]]
    assert removed.data["removal_id"] == accepted.data["result"]["removal_id"]
    assert only(again, "ContactRemoved").data["enrollment_ids"] == []
    assert code_of(await world.enroll("c")) == "removed"


async def test_a_removal_blocks_what_nobody_has_heard_of_yet(world: World) -> None:
    said = await world.ask("RemoveContact", contact_id="c", sequence_id="welcome")
    await world.ask("RemoveContact", contact_id="c", campaign="spring")
    await campaigns(world)
    await world.sequence("welcome")

    assert types(said) == ["ContactRemoved", "CommandAccepted"]
    assert code_of(await world.enroll("c", "welcome")) == "removed"
    assert code_of(await world.enroll("c", "two")) == "removed"
    assert "ContactEnrolled" in types(await world.enroll("c", "three"))


async def test_a_removal_from_a_campaign_leaves_the_rest_alone(world: World) -> None:
    await campaigns(world)
    one, _ = await enrolled(world, "c", "one"), await enrolled(world, "c", "three")

    said = await world.ask("RemoveContact", contact_id="c", campaign="spring")

    assert only(said, "ContactRemoved").data["enrollment_ids"] == [one["enrollment_id"]]
    assert await world.rows("enrollment", "status = 'active'") == 1
    assert code_of(await world.enroll("c", "two")) == "removed"


async def test_everywhere_ends_what_lives_and_blocks_only_that(world: World) -> None:
    await campaigns(world)
    entered = [await enrolled(world, "c", "one"), await enrolled(world, "c", "three")]

    said = await world.ask("RemoveContact", contact_id="c")

    removed = only(said, "ContactRemoved").data
    assert sorted(removed["enrollment_ids"]) == sorted(one["enrollment_id"] for one in entered)
    assert code_of(await world.enroll("c", "one")) == "removed"
    assert "ContactEnrolled" in types(await world.enroll("c", "two"))


async def test_who_was_removed_with_reentry_may_come_back_as_somebody_new(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    entered = await enrolled(world)

    await world.ask("RemoveContact", contact_id="c", allow_reentry=True)
    again = await enrolled(world)

    assert again["enrollment_id"] != entered["enrollment_id"]
    assert await world.rows("enrollment") == 2
    assert await world.rows("block") == 0


async def test_an_enroll_and_a_removal_in_one_batch_keep_their_order(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    await enrolled(world)
    removal = {"contact_id": "c", "sequence_id": "welcome"}

    said = await world.hear(world.record("RemoveContact", removal), world.record("RemoveContact", removal))

    assert [len(one.data["enrollment_ids"]) for one in said if one.type == "ContactRemoved"] == [1, 0]


async def test_finished_steps_complete_and_a_failed_message_fails_once(world: World) -> None:
    await world.sequence()
    await world.contacts("a", "b")
    done, bad = await enrolled(world, "a"), await enrolled(world, "b")

    completed = await report(world, "StepsFinished", done)
    failed = await report(world, "MessageFailed", bad, **FAILURE)
    late = [*await report(world, "MessageFailed", done, **FAILURE), *await report(world, "StepsFinished", bad)]

    assert types(completed) == ["EnrollmentCompleted"]
    assert only(failed, "EnrollmentFailed").data["code"] == "550"
    assert late == []
    assert code_of(await world.enroll("a")) == "already_enrolled"


async def test_an_unknown_message_that_did_not_arrive_after_all_fails_its_enrollment(world: World) -> None:
    await world.sequence()
    await world.contacts("a", "b")
    one, other = await enrolled(world, "a"), await enrolled(world, "b")

    sent = await report(world, "MessageResolved", one, **RESOLVED, outcome="sent")
    bounced = await report(world, "MessageResolved", other, **RESOLVED, outcome="failed")

    assert sent == []
    assert only(bounced, "EnrollmentFailed").data["code"] == "bounced"


async def test_what_was_removed_is_not_completed(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    entered = await enrolled(world)
    await world.ask("RemoveContact", contact_id="c")

    assert await report(world, "StepsFinished", entered) == []
    assert await world.rows("enrollment", "status = 'removed'") == 1


async def test_an_opt_out_stops_what_lives_and_keeps_out(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    entered = await enrolled(world)
    opt_out = {"contact_id": "c", "occurred_at": "2026-03-01T12:00:00Z"}

    one_channel = await world.ask("ContactOptedOut", **opt_out, channel="email")
    said = await world.ask("ContactOptedOut", **opt_out)
    await world.sequence("other")

    assert one_channel == []
    assert types(said) == ["EnrollmentStopped"]
    assert (said[0].data["enrollment_id"], said[0].data["reason"]) == (entered["enrollment_id"], "opted_out")
    assert code_of(await world.enroll("c", "other")) == "opted_out"


async def test_a_contact_record_that_opts_out_stops_and_a_newer_one_opens_again(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    await enrolled(world)

    said = await world.contacts("c", state_version=2, opted_out=True)
    old = await world.contacts("c", state_version=1)
    await world.sequence("other")
    refused = await world.enroll("c", "other")
    await world.contacts("c", state_version=3)

    assert types(said) == ["EnrollmentStopped"]
    assert old == []
    assert code_of(refused) == "opted_out"
    assert "ContactEnrolled" in types(await world.enroll("c", "other"))


async def test_a_contact_that_is_gone_is_removed_everywhere_and_erased(world: World) -> None:
    await campaigns(world)
    entered = await enrolled(world, "c", "one")
    await world.ask("RemoveContact", contact_id="c", sequence_id="two")

    said = await world.hear(("contacts.events", "c", None))

    assert types(said) == ["ContactRemoved", "ContactErased"]
    assert said[0].data["enrollment_ids"] == [entered["enrollment_id"]]
    assert said[1].topic == "erasure.receipts"
    assert said[1].data["rows"] == {**NOTHING_OF_A_CONTACT, "enrollment": 1, "block": 1, "contact": 1}
    assert await world.rows("enrollment") == 0
    assert await report(world, "StepsFinished", entered) == []


async def test_a_contact_that_comes_back_inherits_nothing_but_an_opt_out(world: World) -> None:
    await campaigns(world)
    await world.ask("RemoveContact", contact_id="c", sequence_id="two")
    await world.contacts("c", "d", state_version=7, opted_out=False)
    await world.contacts("d", state_version=8, opted_out=True)
    await world.hear(("contacts.events", "c", None), ("contacts.events", "d", None))

    await world.contacts("c", "d", state_version=1)

    assert "ContactEnrolled" in types(await world.enroll("c", "two"))
    assert code_of(await world.enroll("d", "two")) == "opted_out"


async def test_a_replay_of_the_topic_brings_nobody_back(world: World) -> None:
    await world.sequence()
    await world.contacts("c", state_version=5)
    await world.hear(("contacts.events", "c", None))
    world.positions["contacts.events"] = {0: 0}
    async with world.pool.acquire() as conn:
        await conn.execute("update consumer_offset set next_offset = 0 where topic = 'contacts.events'")

    await world.contacts("c", state_version=5)
    again = await world.hear(("contacts.events", "c", None))

    assert await world.rows("contact", "state_version is not null") == 0
    assert again == []


async def test_a_key_that_is_no_id_is_nobodys_tombstone(world: World) -> None:
    said = await world.hear(("contacts.events", "a,b", None))

    assert said == []
    assert await world.rows("contact") == 0


async def test_a_deleted_sequence_is_closed_erased_and_remembered_by_its_id_alone(world: World) -> None:
    await world.sequence(published={"name": "canary", "campaign": "canary-9d"})
    await world.contacts("a", "b")
    entered = await enrolled(world, "a")
    await world.ask("RemoveContact", contact_id="b", sequence_id="welcome")

    closed = await world.delete(epoch=1)
    said = await world.erase()
    late = [
        *await world.sequence(state_version=99, epoch=7),
        *await world.delete(state_version=100, epoch=8),
        *await world.hear(("sequences.events", "welcome", None)),
        *await report(world, "StepsFinished", entered),
        *await world.erase(),
    ]

    assert [(one.type, one.data["epoch"]) for one in closed] == [("EntryClosed", 1)]
    assert types(said) == ["SequenceErased"]
    assert said[0].data == {
        "sequence_id": "welcome",
        "service": "enrollment",
        "rows": {**NOTHING_OF_A_SEQUENCE, "enrollment": 1, "block": 1, "version": 1},
    }
    assert said[0].envelope["causationid"] == closed[0].envelope["causationid"]
    assert late == []
    assert [await world.rows(table) for table in ("sequence", "enrollment", "block", "erasure")] == [0, 0, 0, 0]
    assert await world.rows("deleted_sequence") == 1
    assert code_of(await world.enroll("a")) == "deleted"


async def test_a_removal_from_a_deleted_sequence_is_answered_and_leaves_no_row(world: World) -> None:
    await world.sequence()
    await world.delete()
    await world.erase()

    said = await world.ask("RemoveContact", contact_id="c", sequence_id="welcome")

    assert types(said) == ["ContactRemoved", "CommandAccepted"]
    assert await world.rows("block") == 0


async def test_an_erasure_goes_on_where_it_was_left(world: World) -> None:
    await world.sequence()
    people = [f"c{n}" for n in range(30)]
    await world.contacts(*people)
    await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=people)
    await world.delete()

    async with world.begin() as tx:
        await erasure.erase_some(tx)
    said = await world.erase()

    assert only(said, "SequenceErased").data["rows"]["enrollment"] == 30


async def test_a_tombstone_alone_erases_too(world: World) -> None:
    await world.sequence()
    await world.contacts("c")
    await enrolled(world)

    await world.hear(("sequences.events", "welcome", None))
    said = await world.erase()

    assert only(said, "SequenceErased").data["rows"]["enrollment"] == 1
    assert code_of(await world.enroll("c")) == "deleted"
