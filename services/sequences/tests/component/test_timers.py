"""Pauses that end by themselves, on the database's clock and under the row's lock."""

import asyncio
from typing import Any

import pytest
from chassis.clock import sleep
from chassis.pool import Conn, Pool
from messaging.ids import derive
from messaging.pipeline import Pipeline
from sequences.handlers import timers
from sequences.store import sequences

pytestmark = pytest.mark.stack

Service = Any
Said = Any

WELCOME = {"sequence_id": "welcome"}
PAST = "2026-01-01T00:00:00Z"
FUTURE = "2126-01-01T00:00:00Z"
RACES = 10


def types(said: list[Said]) -> list[str]:
    return [record.type for record in said]


async def resume(service: Service, *sequence_ids: str) -> list[Said]:
    """The round of a loop that had found these due."""
    async with Pipeline("sequences", "sequences", service.pool).begin() as tx:
        await timers.resume_due(sequence_ids, tx)
    said: list[Said] = await service.said()
    return said


async def somebody_waits_for_a_lock(conn: Conn) -> None:
    while not await conn.fetchval("select count(*) from pg_locks where not granted"):
        await sleep(0.01)


async def test_a_pause_ends_once_its_time_has_come(service: Service) -> None:
    await service.stopped(resume_at=PAST)

    (resumed,) = await service.resume_due()
    again = await service.resume_due()

    assert (resumed.type, resumed.data["status"], resumed.data["epoch"]) == ("SequenceResumed", "active", 2)
    assert (resumed.data["overdue"], resumed.data["admit"]) == ("shift", "none")
    assert "resume_at" not in resumed.data
    assert again == []


async def test_a_pause_does_not_end_before_its_time(service: Service) -> None:
    await service.stopped(resume_at=FUTURE)

    assert await service.resume_due() == []
    assert await resume(service, "welcome") == []


async def test_a_pause_whose_time_is_over_ends_with_its_receipts(service: Service) -> None:
    await service.published()
    paused = await service.ask(("PauseSequence", {**WELCOME, "resume_at": PAST}))

    before = await service.resume_due()
    stopped = await service.receive(1)
    after = await service.resume_due()

    assert paused[0].data["resume_at"] == "2026-01-01T00:00:00.000000Z"
    assert before == []
    assert (types(stopped), types(after)) == (["SequenceStopped"], ["SequenceResumed"])


async def test_what_ends_by_itself_follows_from_its_row_and_who_set_the_time(service: Service) -> None:
    await service.stopped()
    (_, answer) = await service.ask(("PauseSequence", {**WELCOME, "resume_at": PAST}), actor="bob")

    (resumed,) = await service.resume_due()

    assert resumed.envelope["id"] == derive("sequences", "sequences", "welcome:1", "SequenceResumed.v1", "0")
    assert resumed.envelope["causationid"] == "welcome:1"
    assert resumed.envelope["correlationid"] == answer.data["command"]["id"]
    assert resumed.envelope["actor"] == "bob"


@pytest.mark.parametrize(
    "command",
    [
        ("ResumeSequence", {**WELCOME, "overdue": "skip"}),
        ("DeleteSequence", WELCOME),
        ("PauseSequence", WELCOME),
        ("PauseSequence", {**WELCOME, "resume_at": FUTURE}),
    ],
)
async def test_who_comes_between_the_look_and_the_lock_has_the_say(service: Service, command: Any) -> None:
    await service.stopped(resume_at=PAST)
    await service.ask(command)

    assert await resume(service, "welcome") == []


async def test_a_newer_pause_of_a_later_epoch_is_not_ended_by_an_older_time(service: Service) -> None:
    await service.stopped(resume_at=PAST)
    await service.ask(("ResumeSequence", WELCOME), ("PauseSequence", WELCOME))
    await service.receive(3)

    assert await resume(service, "welcome") == []


async def test_it_waits_for_who_holds_the_row_and_decides_on_what_they_left(service: Service) -> None:
    await service.stopped(resume_at=PAST)

    async with service.pool.acquire() as holder:
        async with holder.transaction():
            await sequences.lock(holder, ["welcome"])
            waiting = asyncio.create_task(resume(service, "welcome"))
            async with asyncio.timeout(10):
                await somebody_waits_for_a_lock(holder)
            await holder.execute("update sequence set resume_at = null, resume_at_asked = null")
        said = await waiting

    assert said == []


@pytest.mark.parametrize("kind", ["ResumeSequence", "DeleteSequence", "PauseSequence"])
async def test_a_race_with_a_person_has_one_winner(service: Service, kind: str) -> None:
    names = [f"s{number}" for number in range(RACES)]
    for name in names:
        await service.stopped(name, resume_at=PAST)

    halves = await asyncio.gather(service.ask(*[(kind, {"sequence_id": name}) for name in names]), service.resume_due())
    said = [*halves[0], *halves[1], *await service.said()]

    for name in names:
        events = [one for one in said if one.key == name]
        resumed = [one.data["epoch"] for one in events if one.type == "SequenceResumed"]
        versions = [one.data["state_version"] for one in events]
        assert sorted(versions) == list(range(5, 5 + len(versions)))
        assert resumed in ([], [2])
        assert len(resumed) == 1 or kind != "ResumeSequence"


async def test_the_look_goes_through_the_index(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute("set enable_seqscan = off")
        plan = "\n".join(row[0] for row in await conn.fetch(f"explain {sequences._DUE}", 50))

    assert "sequence_to_resume" in plan
    assert "Index Cond: (resume_at <=" in plan
