"""Every answer to why, from what was heard."""

from typing import Any

import pytest

from .conftest import World, ago, definition, step

pytestmark = pytest.mark.stack

NIGHT = {"days": ["mon"], "from": "00:00", "to": "00:01", "timezone": "UTC"}


async def code(world: World, step_id: str | None = None) -> str:
    asked = {} if step_id is None else {"step": step_id}
    answer = await world.get("/contacts/ada/why", sequence="welcome", **asked)
    assert answer["answer"].endswith(".")
    return str(answer["code"])


async def entered(world: World, **state: Any) -> None:
    await world.sequence(**state)
    await world.contact()
    await world.enrolled()


async def test_not_yet_due_and_what_comes_after_it(world: World) -> None:
    await entered(world, published=definition(step("welcome", "9d"), step("tips", "1d")))

    assert [await code(world), await code(world, "welcome"), await code(world, "tips")] == ["not_yet_due"] * 3


async def test_outside_its_window(world: World) -> None:
    await entered(world, published=definition(step("welcome", "0s"), delivery=NIGHT))

    assert await code(world) in {"outside_window", "due"}  # for one minute a week it is open


async def test_paused_and_suspended(world: World) -> None:
    await entered(world)
    suspended = {"scope": "channel:email", "epoch": 1, "in_flight": 0, "halted_at": ago(hours=1)}
    await world.told("DeliverySuspended", **suspended, reason="too many refusals")
    first = await code(world)
    await world.sequence(as_="SequencePaused", status="paused", state_version=2, epoch=1, paused_at=ago(hours=1))

    assert (first, await code(world)) == ("suspended", "paused")


async def test_removed_opted_out_and_already_in(world: World) -> None:
    await entered(world)
    refused = {"contact_id": "ada", "sequence_id": "welcome", "via": "command"}
    await world.told("EnrollmentRefused", **refused, code="already_enrolled", occurred_at=ago(days=2))
    again = await code(world)
    removed = {"removal_id": "r", "contact_id": "ada", "enrollment_ids": ["ada-in-welcome"], "allow_reentry": False}
    await world.told("ContactRemoved", **removed, occurred_at=ago(days=1))

    assert (again, await code(world), await code(world, "tips")) == ("already_in", "removed", "removed")


async def test_a_contact_that_opted_out(world: World) -> None:
    await entered(world)
    await world.ended("EnrollmentStopped", reason="opted_out")

    assert await code(world, "tips") == "opted_out"


async def test_refused_by_the_provider_sent_unknown_and_expired(world: World) -> None:
    await entered(world, published=definition(*(step(name, "0s") for name in ("a", "b", "c", "d"))))
    await world.message("MessageSent", "a", at=ago(days=4))
    await world.message("MessageExpired", "b", at=ago(days=3), reason="skip")
    await world.message("MessageUnknown", "c", at=ago(days=2), reason="timeout")
    await world.message("MessageFailed", "d", at=ago(days=1), code="550", detail="no such box")

    codes = [await code(world, name) for name in ("a", "b", "c", "d")]

    assert codes == ["sent", "expired", "unknown", "refused_by_provider"]
    assert [one["step_id"] for one in (await world.get("/unknown"))["items"]] == ["c"]


async def test_edited_away_and_put_before_where_the_contact_stood(world: World) -> None:
    await entered(world)
    await world.message("MessageSent", "welcome")
    edited = definition(step("welcome", "0s"), step("early", "1h"), step("last", "5d"))
    await world.sequence(version=2, follow_version=2, state_version=2, published=edited, updated_at=ago(days=1))

    assert await code(world, "tips") == "edited_away"
    assert await code(world, "welcome") == "sent"


async def test_never_enrolled_refused_and_unknown_names(world: World) -> None:
    await world.sequence()
    await world.contact()
    never = await code(world)
    refused = {"contact_id": "ada", "sequence_id": "welcome", "via": "import"}
    await world.told("EnrollmentRefused", **refused, code="sequence_paused", occurred_at=ago(days=2))

    assert (never, await code(world)) == ("not_enrolled", "paused")
    assert (await world.ask("/contacts/ada/why", sequence="welcome", step="nonsense")).status == 404
    assert (await world.ask("/contacts/ada/why", sequence="a b")).status == 422


async def test_a_plan_says_what_changes_and_for_how_many(world: World) -> None:
    await entered(world, published=definition(step("welcome", "0s"), step("tips", "9d")))
    await world.message("MessageSent", "welcome")
    shorter = definition(step("welcome", "0s"), step("tips", "1d"), step("more", "1d"))

    follow = await world.ask("/sequences/welcome/plan", body={"definition": shorter})
    pin = await world.ask("/sequences/welcome/plan", body={"definition": shorter, "in_flight": "pin"})
    broken = await world.ask("/sequences/welcome/plan", body={"definition": {"name": "x"}})

    assert [(one["step_id"], one["changes"], one["people"]) for one in follow.body["steps"]] == [
        ("welcome", [], 0),
        ("tips", ["delay"], 1),
        ("more", ["added"], 0),
    ]
    counts = ("inside", "touched", "due_at_once", "finished_at_once")
    assert [follow.body[name] for name in counts] == [1, 1, 1, 0]
    assert [pin.body[name] for name in counts] == [1, 0, 0, 0]
    assert broken.status == 200
    assert broken.body["faults"]


async def test_errors_are_a_sentence(world: World) -> None:
    answers = [
        await world.ask("/sequences/nothing"),
        await world.ask("/nowhere"),
        await world.ask("/sequences", limit=9999),
        await world.ask("/unknown", after="x"),
        await world.ask("/sequences", after="\x00"),
        await world.ask("/contacts/ada", after=f"9999-12-31T23:59:59-23:59~{'0' * 36}"),
        await world.ask("/contacts/ada", after=f"2026-01-01T00:00:00Z~{'z' * 36}"),
    ]

    assert [one.status for one in answers] == [404, 404, 422, 422, 422, 422, 422]
    broken = await world.ask("/contacts/ada/why", sequence="a b")
    assert broken.body["detail"].startswith("sequence: must be an id: ")
    assert all(set(one.body) == {"detail"} and one.body["detail"].endswith(".") for one in answers)


async def test_a_pause_that_is_over_keeps_its_reason_and_says_how_it_was_resumed(world: World) -> None:
    await entered(world)
    paused: dict[str, Any] = {"paused_at": ago(hours=2), "epoch": 1}
    await world.sequence(as_="SequencePaused", status="paused", state_version=2, reason="a typo", **paused)
    resumed: dict[str, Any] = {"paused_at": ago(hours=2), "resumed_at": ago(hours=1), "epoch": 2}
    await world.sequence(as_="SequenceResumed", state_version=3, overdue="send_now", **resumed)

    answer = await world.get("/contacts/ada/why", sequence="welcome")

    told = {one["what"]: one["cause"] for one in answer["decisions"]}
    assert told["the sequence was paused"] == "a typo"
    assert "the sequence was resumed; what became due meanwhile leaves now" in told


async def test_what_was_kept_back_is_due_again_with_a_newer_contact_record_or_version(world: World) -> None:
    await entered(world, published=definition(step("welcome", "0s")))
    await world.ended("StopConditionMet", condition="success", contact_version=1, sequence_version=1)
    kept_back = await code(world)

    await world.contact(state_version=2)
    newer_contact = await code(world)
    await world.ended("StopConditionMet", condition="success", contact_version=2, sequence_version=1, at=ago(hours=1))
    again = await code(world)
    await world.sequence(version=2, follow_version=2, state_version=2)

    assert [kept_back, newer_contact, again, await code(world)] == ["stop_condition", "due", "stop_condition", "due"]


async def test_who_is_refused_while_inside_hears_both_that_and_where_it_stands(world: World) -> None:
    await entered(world, published=definition(step("welcome", "9d")))
    refused = {"contact_id": "ada", "sequence_id": "welcome", "via": "import", "code": "already_enrolled"}
    await world.told("EnrollmentRefused", **refused, occurred_at=ago(days=2))

    answer = await world.get("/contacts/ada/why", sequence="welcome")

    assert answer["code"] == "already_in"
    assert "was not let in" in answer["answer"]
    assert "`welcome` is due at" in answer["answer"]
    assert answer["due_at"] is not None


async def test_a_plan_names_what_publishing_would_refuse(world: World) -> None:
    await world.sequence()
    window = {"days": ["mon"], "from": "09:00", "to": "17:00", "timezone": "Mars/Olympus"}
    faulty = definition(step("welcome", text="{{ contact.first_name"), delivery=window)

    answer = await world.ask("/sequences/welcome/plan", body={"definition": faulty})

    assert answer.status == 200
    assert {one["place"] for one in answer.body["faults"]} == {"delivery.timezone", "steps[0].message.text"}
