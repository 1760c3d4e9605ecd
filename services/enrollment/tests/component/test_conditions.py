"""Who enters by itself, what ends an enrollment early, and what is remembered until it can be decided."""

import asyncio
from typing import Any

import asyncpg
import pytest
from enrollment.handlers import entering, triggers
from enrollment.handlers.admissions import ask_some
from enrollment.handlers.conditions import decide_some

pytestmark = pytest.mark.stack

World = Any
NOON = "2030-03-01T12:00:00Z"
NEW = [{"field": "status", "op": "equals", "value": "New"}]
WON = [{"field": "stage", "op": "equals", "value": "Won"}]
LOST = [{"field": "stage", "op": "equals", "value": "Lost"}]


def types(said: list[Any]) -> list[str]:
    return [one.type for one in said]


def of(said: list[Any], kind: str) -> list[Any]:
    return [one for one in said if one.type == kind]


def rules(*, version: int = 1, **more: Any) -> dict[str, Any]:
    return {"version": version, "published": {"name": "w", "steps": [], **more}}


async def contact(world: World, contact_id: str = "c", *, created: bool = False, **state: Any) -> list[Any]:
    """A record of a contact, an update unless said otherwise."""
    person = {"state_version": 1, "attributes": {}, "tags": [], "addresses": {}, "opted_out": False, **state}
    kind = "ContactCreated" if created else "ContactUpdated"
    said: list[Any] = await world.ask(kind, contact_id=contact_id, **person)
    return said


async def report(
    world: World, entered: Any, condition: str, *, contact_version: int, sequence_version: int
) -> list[Any]:
    """What delivery saw before a send."""
    common = ("enrollment_id", "contact_id", "sequence_id", "version", "occurred_at")
    data = {name: entered.data[name] for name in common}
    versions = {"contact_version": contact_version, "sequence_version": sequence_version}
    said: list[Any] = await world.ask("StopConditionMet", **data, condition=condition, **versions)
    return said


async def work(world: World, some: Any) -> list[Any]:
    """What a loop does until nothing is left to do; what is said then."""
    more = True
    while more:
        async with world.begin() as tx:
            more = await some(tx)
    said: list[Any] = await world.said()
    return said


async def crashing(world: World, some: Any) -> None:
    """One round of a loop that dies before its commit."""
    async with world.begin() as tx:
        await some(tx)
        raise RuntimeError("crash")


async def enter(world: World, contact_id: str = "c") -> Any:
    (entered,) = of(await world.enroll(contact_id), "ContactEnrolled")
    return entered


@pytest.mark.parametrize(
    ("on", "created", "enters"),
    [
        (["created"], True, True),
        (["created"], False, False),
        (["updated"], False, True),
        (["updated"], True, False),
        (["created", "updated"], True, True),
        (["created", "updated"], False, True),
    ],
)
async def test_a_contact_enters_by_itself_on_the_kind_of_change_that_is_asked_for(
    world: World, on: list[str], created: bool, enters: bool
) -> None:
    await world.sequence(**rules(trigger={"on": on}, start_when=NEW))

    said = await contact(world, created=created, attributes={"status": "New"})
    other = await contact(world, "d", created=created, attributes={"status": "Old"})

    assert [(one.type, one.data["via"], one.data["contact_offset"]) for one in said] == (
        [("ContactEnrolled", "trigger", 0)] if enters else []
    )
    assert other == []


async def test_a_transaction_lets_in_no_more_than_its_bound_and_nobody_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "ENTRIES_MAX", 4)
    kept: list[int] = []
    keep = entering.keep

    async def counted(tx: Any, decided: Any, known: Any) -> None:
        kept.append(len(decided))
        await keep(tx, decided, known)

    monkeypatch.setattr(entering, "keep", counted)
    for number in range(3):
        await world.sequence(f"s{number}", **rules(trigger={"on": ["created"]}))

    said = await world.contacts(*[f"c{number}" for number in range(6)])

    assert types(said) == ["ContactEnrolled"] * 18
    assert max(kept) <= 4
    assert sum(kept) == 18


async def test_a_record_that_is_read_again_or_old_triggers_nothing(world: World) -> None:
    await world.sequence(**rules(trigger={"on": ["updated"]}, enroll_once=False))
    await contact(world, state_version=5)
    await world.ask("RemoveContact", contact_id="c", allow_reentry=True)

    assert await contact(world, state_version=5) == []
    assert await contact(world, state_version=4) == []
    assert types(await contact(world, state_version=6)) == ["ContactEnrolled"]


async def test_who_is_in_is_passed_over_and_who_is_kept_out_is_told_of(world: World) -> None:
    await world.sequence(**rules(trigger={"on": ["updated"]}))
    await contact(world, "in")
    await world.ask("RemoveContact", contact_id="out", sequence_id="welcome")

    assert await contact(world, "in", state_version=2) == []
    (refused,) = await contact(world, "out")
    assert (refused.type, refused.data["code"], refused.data["via"]) == ("EnrollmentRefused", "removed", "trigger")
    (refused,) = await contact(world, "silent", opted_out=True)
    assert refused.data["code"] == "opted_out"


async def test_who_would_be_stopped_at_once_does_not_enter_by_itself(world: World) -> None:
    await world.sequence(**rules(trigger={"on": ["updated"]}, stop_when={"failure": LOST}))

    assert await contact(world, attributes={"stage": "Lost"}) == []


async def test_creations_and_changes_in_one_batch_let_everybody_in_once(world: World) -> None:
    await world.sequence("one", **rules(trigger={"on": ["created"]}))
    await world.sequence("two", **rules(trigger={"on": ["updated"]}))
    person = {"attributes": {}, "tags": [], "addresses": {}, "opted_out": False}
    records = [
        world.record(kind, {"contact_id": contact_id, "state_version": version, **person})
        for contact_id in "ab"
        for version, kind in enumerate(("ContactCreated", "ContactUpdated", "ContactUpdated"))
    ]

    said = await world.hear(*records)

    entered = sorted((one.data["contact_id"], one.data["sequence_id"]) for one in of(said, "ContactEnrolled"))
    assert entered == [("a", "one"), ("a", "two"), ("b", "one"), ("b", "two")]
    assert len({one.envelope["id"] for one in said}) == len(said)


@pytest.mark.parametrize(("stage", "reason"), [("Won", "success"), ("Lost", "failure")])
async def test_a_change_of_a_contact_ends_what_its_conditions_end(world: World, stage: str, reason: str) -> None:
    await world.sequence(**rules(stop_when={"success": WON, "failure": LOST}))
    await world.sequence("other")
    await contact(world)
    entered = await enter(world)
    await world.enroll("c", "other")

    (stopped,) = await contact(world, state_version=2, attributes={"stage": stage})

    assert (stopped.topic, stopped.type) == ("enrollment.control", "EnrollmentStopped")
    assert (stopped.data["enrollment_id"], stopped.data["reason"]) == (entered.data["enrollment_id"], reason)
    assert await world.rows("enrollment", "status = 'active'") == 1


async def test_a_condition_that_holds_at_entry_stops_at_once_and_the_command_is_accepted(world: World) -> None:
    await world.sequence(**rules(stop_when={"success": WON}))
    await contact(world, attributes={"stage": "Won"})

    said = await world.enroll("c")
    again = await world.enroll("c")

    assert sorted(types(said)) == ["CommandAccepted", "ContactEnrolled", "EnrollmentStopped"]
    assert of(said, "EnrollmentStopped")[0].data["reason"] == "success"
    assert of(again, "CommandRejected")[0].data["code"] == "already_enrolled"


async def test_who_is_pinned_is_ended_by_the_version_that_is_kept(world: World) -> None:
    await world.sequence(**rules(stop_when={"success": WON}), follow_version=1)
    for contact_id in "pq":
        await contact(world, contact_id)
        await enter(world, contact_id)
    pinned = rules(version=2, stop_when={"success": LOST})
    await world.sequence(state_version=2, follow_version=1, in_flight="pin", **pinned)

    kept = await contact(world, "p", state_version=2, attributes={"stage": "Lost"})
    won = await contact(world, "p", state_version=3, attributes={"stage": "Won"})
    await world.sequence(state_version=3, follow_version=2, **pinned)
    followed = await contact(world, "q", state_version=3, attributes={"stage": "Lost"})

    assert (kept, types(won), types(followed)) == ([], ["EnrollmentStopped"], ["EnrollmentStopped"])


async def test_a_reply_ends_what_asks_for_it_and_was_entered_before(world: World) -> None:
    await world.sequence(**rules(stop_when={"on_reply": True}))
    await world.sequence("other")
    await contact(world)
    entered = await enter(world)
    await world.enroll("c", "other")
    reply = {"contact_id": "c", "channel": "whatsapp"}

    old = await world.ask("ContactReplied", **reply, occurred_at="2020-01-01T00:00:00Z")
    said = await world.ask("ContactReplied", **reply, occurred_at=NOON)
    again = await world.ask("ContactReplied", **reply, occurred_at=NOON)

    assert (old, again) == ([], [])
    assert [(one.data["enrollment_id"], one.data["reason"]) for one in said] == [
        (entered.data["enrollment_id"], "replied")
    ]


async def test_what_delivery_saw_waits_until_contact_and_sequence_are_as_new(world: World) -> None:
    await world.sequence(**rules(stop_when={"success": WON}))
    await contact(world)
    entered = await enter(world)

    first = await report(world, entered, "failure", contact_version=2, sequence_version=2)
    await contact(world, state_version=2, attributes={"stage": "Lost"})
    between = await work(world, decide_some)
    await world.sequence(state_version=2, **rules(version=2, stop_when={"failure": LOST}))
    said = await work(world, decide_some)

    assert (first, between) == ([], [])
    assert [(one.type, one.data["reason"]) for one in said] == [("EnrollmentStopped", "failure")]
    assert await world.rows("condition_met") == 0


async def test_where_newer_data_say_otherwise_the_enrollment_is_let_be(world: World) -> None:
    await world.sequence(**rules(stop_when={"success": WON}))
    await contact(world, state_version=3, attributes={"stage": "Open"})
    entered = await enter(world)

    said = await report(world, entered, "success", contact_version=2, sequence_version=1)

    assert said == []
    assert await world.rows("condition_met") == 0
    assert await world.rows("enrollment", "status = 'active'") == 1


@pytest.mark.parametrize("heard_first", [True, False])
async def test_an_opt_out_of_a_channel_ends_what_delivery_withholds_for_it(world: World, heard_first: bool) -> None:
    await world.sequence()
    await contact(world)
    entered = await enter(world)
    opt_out = world.record("ContactOptedOut", {"contact_id": "c", "channel": "email", "occurred_at": NOON})

    said = await world.hear(opt_out) if heard_first else []
    said += await report(world, entered, "opted_out", contact_version=1, sequence_version=1)
    said += [] if heard_first else await world.hear(opt_out)

    assert [(one.type, one.data["reason"]) for one in said] == [("EnrollmentStopped", "opted_out")]
    await world.hear(("contacts.events", "c", None))
    assert await world.rows("channel_opt_out", "contact_id = 'c'") == 1


async def test_a_report_on_what_has_ended_leaves_nothing(world: World) -> None:
    await world.sequence()
    await contact(world)
    entered = await enter(world)
    await report(world, entered, "success", contact_version=9, sequence_version=9)

    await world.ask("RemoveContact", contact_id="c")
    said = await work(world, decide_some)
    late = await report(world, entered, "success", contact_version=9, sequence_version=9)

    assert (said, late) == ([], [])
    assert await world.rows("condition_met") == 0


async def test_who_may_enter_again_does_so_after_any_end_and_never_twice_at_once(world: World) -> None:
    await world.sequence(**rules(enroll_once=False, stop_when={"success": WON}))
    await contact(world)
    first = await enter(world)

    beside = await world.enroll("c")
    await contact(world, state_version=2, attributes={"stage": "Won"})
    await contact(world, state_version=3)
    second = await enter(world)
    await world.sequence(state_version=2, **rules(version=2))
    await contact(world, state_version=4)
    await world.ask("StepsFinished", **{name: second.data[name] for name in ENTRY})
    once = await world.enroll("c")
    await world.sequence(state_version=3, **rules(version=3, enroll_once=False))
    third = await enter(world)

    assert of(beside, "CommandRejected")[0].data["code"] == "already_enrolled"
    assert of(once, "CommandRejected")[0].data["code"] == "already_enrolled"
    assert len({one.data["enrollment_id"] for one in (first, second, third)}) == 3
    assert await world.rows("enrollment", "status = 'active'") == 1
    assert await world.rows("enrollment") == 3


ENTRY = ("enrollment_id", "contact_id", "sequence_id", "version", "occurred_at")


async def test_entries_of_one_batch_that_are_stopped_at_once_follow_each_other(world: World) -> None:
    await world.sequence(**rules(enroll_once=False, stop_when={"success": WON}))
    await contact(world, attributes={"stage": "Won"})

    said = await world.hear(
        world.record("EnrollContacts", {"sequence_id": "welcome", "contact_ids": ["c"]}),
        world.record("EnrollContacts", {"sequence_id": "welcome", "contact_ids": ["c"]}),
    )

    assert (len(of(said, "ContactEnrolled")), len(of(said, "EnrollmentStopped"))) == (2, 2)
    assert await world.rows("enrollment", "not allow_reentry") == 1


async def test_two_live_entries_are_refused_by_the_database(world: World) -> None:
    await world.sequence(**rules(enroll_once=False))
    await contact(world)
    await enter(world)

    async with world.pool.acquire() as conn:
        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute("update enrollment set allow_reentry = true")
        with pytest.raises(asyncpg.UniqueViolationError):
            await conn.execute(
                "insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at) "
                "values ('welcome', 'c', gen_random_uuid(), 1, 0, clock_timestamp())"
            )


async def turned_away(world: World, **more: Any) -> None:
    """A paused sequence that has turned away two by command and import and one by trigger; `c` qualifies no more."""
    await world.sequence(**rules(trigger={"on": ["updated"]}, start_when=NEW, **more))
    await world.contacts("a", "b", "c", attributes={"status": "New"})
    await world.sequence(status="paused", as_="SequencePaused", state_version=2, epoch=1, **trigger(**more))
    await world.enroll("a")
    await world.ask("EnrollContacts", sequence_id="welcome", contact_ids=["b", "c"])
    await contact(world, "d", attributes={"status": "New"})
    await contact(world, "c", state_version=2, attributes={"status": "Old"})


def trigger(**more: Any) -> dict[str, Any]:
    return rules(trigger={"on": ["updated"]}, start_when=NEW, **more)


async def resume(world: World, *, epoch: int = 2, state_version: int = 3, **state: Any) -> list[Any]:
    state = {**trigger(), "epoch": epoch, "state_version": state_version, **state}
    said: list[Any] = await world.sequence(as_="SequenceResumed", **state)
    return said


async def test_a_resume_that_admits_lets_in_who_was_turned_away_and_still_qualifies(world: World) -> None:
    await turned_away(world)

    await resume(world, admit="qualifying")
    said = await work(world, ask_some)
    await resume(world, admit="qualifying", state_version=4)
    again = await work(world, ask_some)

    entered = [(one.data["contact_id"], one.data["via"]) for one in of(said, "ContactEnrolled")]
    assert entered == [("a", "admit"), ("b", "admit"), ("d", "admit")]
    assert len({one.envelope["id"] for one in said}) == 3
    assert again == []
    assert (await world.rows("turned_away"), await world.rows("ended_pause")) == (0, 0)


async def test_a_resume_that_admits_nobody_forgets_them(world: World) -> None:
    await turned_away(world)

    await resume(world)
    said = await work(world, ask_some)
    await world.pause(state_version=5, epoch=3)
    await resume(world, epoch=4, state_version=6, admit="qualifying")
    later = await work(world, ask_some)

    assert (said, later) == ([], [])
    assert (await world.rows("turned_away"), await world.rows("ended_pause")) == (0, 0)


async def test_a_crash_amid_admitting_lets_everybody_in_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enrollment.handlers.admissions.BATCH_CONTACTS_MAX", 1)
    await turned_away(world)
    await resume(world, admit="qualifying")
    async with world.begin() as tx:
        await ask_some(tx)
    with pytest.raises(RuntimeError):
        await crashing(world, ask_some)

    said = [*await world.said(), *await work(world, ask_some)]

    assert sorted(one.data["contact_id"] for one in of(said, "ContactEnrolled")) == ["a", "b", "d"]


async def test_who_is_asked_again_while_it_is_paused_again_waits_for_the_end_of_that(world: World) -> None:
    await turned_away(world)
    await resume(world, admit="qualifying")
    await world.sequence(status="paused", as_="SequencePaused", state_version=5, epoch=3, **trigger())

    between = await work(world, ask_some)
    await resume(world, epoch=4, state_version=6, admit="qualifying")
    said = await work(world, ask_some)

    assert between == []
    assert len(of(said, "ContactEnrolled")) == 3


async def test_a_removal_forgets_who_was_turned_away(world: World) -> None:
    await turned_away(world)
    await world.ask("RemoveContact", contact_id="a", allow_reentry=True)
    await world.hear(("contacts.events", "b", None))

    await resume(world, admit="qualifying")
    said = await work(world, ask_some)

    assert [one.data["contact_id"] for one in of(said, "ContactEnrolled")] == ["d"]


async def test_erasing_a_contact_or_a_sequence_counts_and_leaves_nothing_of_it(world: World) -> None:
    await turned_away(world)
    await world.ask("VersionPublished", sequence_id="welcome", version=7, definition=rules()["published"])

    gone = await world.hear(("contacts.events", "a", None))
    await world.delete(state_version=9, epoch=2)
    said = await world.erase()
    late = world.record("VersionPublished", {"sequence_id": "welcome", "version": 8, "definition": {"name": "w"}})
    await world.hear(late)

    assert {name: n for name, n in of(gone, "ContactErased")[0].data["rows"].items() if n} == {
        "turned_away": 1,
        "contact": 1,
    }
    assert {name: n for name, n in of(said, "SequenceErased")[0].data["rows"].items() if n} == {
        "turned_away": 3,
        "version": 2,
        "sequence": 1,
    }
    for table in ("turned_away", "ended_pause", "version", "condition_met"):
        assert await world.rows(table) == 0
    assert await world.rows("contact", "contact_id = 'a' and facts is not null") == 0


async def test_triggers_and_removals_at_the_same_time_leave_nobody_in_who_was_removed(world: World) -> None:
    await world.sequence(**rules(trigger={"on": ["created"]}))
    people = [f"c{n}" for n in range(60)]
    other = type(world)(world.pool)

    async def remove() -> list[Any]:
        said: list[Any] = []
        for first in range(0, 60, 10):
            removals = [{"contact_id": one, "sequence_id": "welcome"} for one in people[first : first + 10]]
            said += await other.hear(*[other.record("RemoveContact", one, source="remover") for one in removals])
        return said

    async def create() -> list[Any]:
        said: list[Any] = []
        for first in range(0, 60, 20):
            said += await world.contacts(*people[first : first + 20])
        return said

    said = [one for found in await asyncio.gather(remove(), create()) for one in found]

    assert await world.rows("enrollment", "status = 'active'") == 0
    refused, entered = of(said, "EnrollmentRefused"), of(said, "ContactEnrolled")
    assert len(refused) + len(entered) == 60
    assert {one.data["code"] for one in refused} <= {"removed"}
