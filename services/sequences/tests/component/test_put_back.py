"""A database that was put back knows again what was said of every sequence, and answers as it had."""

from typing import Any, Final

import orjson
import pytest
from testkit.said_again import lost
from testkit.stack import Servers

pytestmark = pytest.mark.stack

Service = Any
Said = Any

FUTURE: Final = "2126-01-01T00:00:00Z"
DEFINITION: Final = {
    "name": "Again",
    "steps": [{"step_id": "one", "after": "1h", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}],
}
STATE: Final = """
select s.sequence_id, state_version, status, epoch, revision, draft::text, version, in_flight, reason, paused_at,
    resumed_at, clock_offset_us, entry_closed_at, halted_at, dropped, in_flight_sends, updated_at, resume_at, overdue,
    max_lateness, admit, follow_version,
    (select array_agg(version || definition::text order by version) from version v where v.sequence_id = s.sequence_id)
from sequence s order by sequence_id
"""


async def state(service: Service) -> list[Any]:
    return [tuple(row) for row in await service.pool.fetch(STATE)]


async def test_all_that_was_said_of_sequences_is_known_again(service: Service, running: Servers) -> None:
    await service.published("runs")
    await service.published("stops")
    async with lost(service, running):
        await service.ask(("SaveSequence", {"sequence_id": "new", "definition": DEFINITION}))
        await service.ask(("SaveSequence", {"sequence_id": "runs", "definition": DEFINITION}))
        await service.ask(("PublishSequence", {"sequence_id": "runs", "in_flight": "pin"}))
        await service.ask(
            ("PauseSequence", {"sequence_id": "stops", "reason": "why", "resume_at": "2126-01-01T00:00:00Z"})
        )
        await service.receive(1, sequence_id="stops")
        await service.ask(("PauseSequence", {"sequence_id": "runs"}))
        await service.receive(1, sequence_id="runs")
        await service.ask(("ResumeSequence", {"sequence_id": "runs", "overdue": "skip", "admit": "qualifying"}))
        await service.ask(("SaveSequence", {"sequence_id": "runs", "definition": {**DEFINITION, "name": "Draft"}}))
        before = await state(service)

    assert await state(service) == before
    assert len(before) == 3


async def test_the_same_commands_get_the_same_answers_and_do_nothing_again(service: Service, running: Servers) -> None:
    await service.published()
    commands = [
        service.record("PauseSequence", {"sequence_id": "welcome"}),
        service.record("ResumeSequence", {"sequence_id": "nobody"}),
    ]
    async with lost(service, running):
        first = await service.hear(*commands)
        await service.receive(1)
        await service.ask(("ResumeSequence", {"sequence_id": "welcome"}))
        before = await state(service)

    again = await service.hear(*commands)
    assert [one.value for one in again] == [one.value for one in first if one.topic == "sequences.answers"]
    assert await state(service) == before


async def test_a_deletion_goes_on_and_what_is_erased_stays_so(service: Service, running: Servers) -> None:
    await service.published("going")
    await service.published("gone")
    async with lost(service, running):
        for sequence_id in ("going", "gone"):
            await service.ask(("DeleteSequence", {"sequence_id": sequence_id}))
            await service.receive(1, sequence_id=sequence_id)
        await service.erase()
        for name in ("sequences", "enrollment", "delivery"):
            await service.erased(name, sequence_id="gone")

    assert await service.pool.fetchval("select status from sequence where sequence_id = 'going'") == "deleted"
    assert await service.pool.fetchval("select array_agg(sequence_id) from deleted_sequence") == ["gone"]
    assert await service.rows("version") == 0
    (answer,) = await service.ask(("SaveSequence", {"sequence_id": "gone", "definition": DEFINITION}))
    assert answer.data["code"] == "deleted"
    await service.receive(1, sequence_id="going")
    await service.erase()
    for name in ("sequences", "enrollment", "delivery"):
        completed = await service.erased(name, sequence_id="going")
    assert [one.type for one in completed] == ["SequenceErasureCompleted", ""]


async def test_a_resume_that_waited_waits_again_unless_a_pause_had_cancelled_it(
    service: Service, running: Servers
) -> None:
    await service.published("waits")
    await service.published("stays")
    resume = [service.record("ResumeSequence", {"sequence_id": one}) for one in ("waits", "stays")]
    pause = service.record("PauseSequence", {"sequence_id": "stays"})
    async with lost(service, running):
        await service.ask(("PauseSequence", {"sequence_id": "waits"}), ("PauseSequence", {"sequence_id": "stays"}))
        first = await service.hear(*resume)
        await service.hear(pause)

    again = await service.hear(*resume)
    await service.hear(pause)
    said = [*await service.receive(1, sequence_id="waits"), *await service.receive(1, sequence_id="stays")]

    assert [one.value for one in again] == [one.value for one in first]
    assert [(one.key, one.data["status"]) for one in said][-2:] == [("waits", "active"), ("stays", "paused")]


async def test_a_command_whose_state_was_not_told_is_done_again_under_its_answer(
    service: Service, running: Servers
) -> None:
    await service.published()
    save = service.record("SaveSequence", {"sequence_id": "welcome", "definition": DEFINITION})
    async with lost(service, running) as loss:
        first = await service.hear(save)
        loss.said[:] = [one for one in loss.said if one.topic == "sequences.answers"]

    again = await service.hear(save)
    assert [one.topic for one in again] == ["sequences.events", "sequences.answers"]
    assert again[-1].value == next(one.value for one in first if one.topic == "sequences.answers")
    assert orjson.loads(again[0].value or b"")["data"]["revision"] == 2


async def test_what_is_adopted_twice_is_as_if_it_was_once(service: Service, running: Servers) -> None:
    await service.published()
    async with lost(service, running) as loss:
        await service.ask(("PauseSequence", {"sequence_id": "welcome"}))
        await service.receive(1)
        before = await state(service)

    await loss.adopt()
    assert await state(service) == before
