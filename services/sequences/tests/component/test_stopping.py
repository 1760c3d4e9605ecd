"""Pauses with their receipts, and how they end."""

from typing import Any

import pytest

pytestmark = pytest.mark.stack

Service = Any
Said = Any

WELCOME = {"sequence_id": "welcome"}


def types(said: list[Said]) -> list[str]:
    return [record.type for record in said]


def of(said: list[Said], kind: str) -> Said:
    (found,) = [record for record in said if record.type == kind]
    return found


async def test_a_pause_is_stopped_once_both_receipts_are_in(service: Service) -> None:
    await service.published()

    paused = await service.ask(("PauseSequence", {**WELCOME, "reason": "typo"}))
    before = await service.receive(0)
    said = await service.receive(1)

    assert of(paused, "CommandAccepted").data["result"] == {"epoch": 1}
    assert types(before) == []
    assert types(said) == ["SequenceStopped"]
    assert said[0].data["receipts"] == {
        "entry_closed_at": "2026-03-01T12:00:00.000000Z",
        "halted_at": "2026-03-01T12:00:00.000000Z",
        "dropped": 5,
        "in_flight": 1,
    }
    assert (said[0].data["state_version"], said[0].data["reason"]) == (4, "typo")


async def test_a_resume_that_waited_follows_from_who_asked_for_it(service: Service) -> None:
    await service.published()
    await service.ask(("PauseSequence", WELCOME))

    accepted = await service.ask(("ResumeSequence", WELCOME), actor="bob")
    said = await service.receive(1)

    assert types(accepted) == ["CommandAccepted"]
    assert accepted[0].data["result"] == {"epoch": 2}
    assert types(said) == ["SequenceStopped", "SequenceResumed"]
    assert said[1].envelope["actor"] == "bob"
    assert said[1].envelope["correlationid"] == accepted[0].data["command"]["id"]
    assert (said[1].data["status"], said[1].data["epoch"], said[1].data["state_version"]) == ("active", 2, 5)


async def test_the_active_clock_keeps_its_offset_over_many_pauses(service: Service) -> None:
    await service.stopped()
    first = of(await service.ask(("ResumeSequence", WELCOME)), "SequenceResumed").data
    await service.ask(("PauseSequence", WELCOME))
    await service.receive(3)
    second = of(await service.ask(("ResumeSequence", WELCOME)), "SequenceResumed").data

    assert 0 < first["clock_offset_seconds"] < second["clock_offset_seconds"]


async def test_a_resume_that_waited_keeps_its_own_options(service: Service) -> None:
    await service.published()
    await service.ask(("PauseSequence", WELCOME))
    options = {"overdue": "send_now", "max_lateness": "2h", "admit": "qualifying"}

    await service.ask(("ResumeSequence", {**WELCOME, **options}))
    resumed = of(await service.receive(1), "SequenceResumed").data
    saved = of(await service.ask(("SaveSequence", {**WELCOME, "definition": {}})), "SequenceSaved").data

    assert {name: resumed[name] for name in options} == options
    assert resumed["clock_offset_seconds"] == 0
    assert {name: saved[name] for name in options} == options


async def test_a_bound_without_send_now_is_refused_with_its_place(service: Service) -> None:
    await service.stopped()

    said = await service.ask(("ResumeSequence", {**WELCOME, "overdue": "skip", "max_lateness": "2h"}))

    assert types(said) == ["CommandRejected"]
    assert (said[0].data["code"], said[0].data["faults"][0]["place"]) == ("invalid", "max_lateness")


async def test_a_resume_that_waited_since_before_there_were_options_shifts(service: Service) -> None:
    await service.published()
    await service.ask(("PauseSequence", WELCOME))
    await service.ask(("ResumeSequence", {**WELCOME, "overdue": "skip"}))
    async with service.pool.acquire() as conn:
        await conn.execute("update sequence set resume_asked = resume_asked - '{overdue,max_lateness,admit}'::text[]")

    resumed = of(await service.receive(1), "SequenceResumed")

    assert (resumed.data["overdue"], resumed.data["admit"]) == ("shift", "none")
