"""Enrolling a file: chunks, ids that a repetition repeats, runs that last until they are done."""

import json
from pathlib import Path
from typing import Any

import pytest
from sluice import Event, Sluice, runs
from sluice.imports import EnrollReport, FileEnrollment
from sluice.memory import MemoryTransport
from sluice.runs import Run, RunNotKept
from sluice.table import UnusableFile, content_hash
from sluice.transport import Transport


def contacts(tmp_path: Path, count: int, *, name: str = "contacts.csv") -> Path:
    file = tmp_path / name
    file.write_text("contact_id\n" + "".join(f"c-{number}\n" for number in range(count)))
    return file


def begun(tmp_path: Path, file: Path, *, sequence_id: str = "welcome", deployment: str = "here") -> Run:
    return runs.begin(
        tmp_path / "state",
        deployment=deployment,
        sequence_id=sequence_id,
        content_hash=content_hash(file),
        chunk_size=10,
    )


async def enroll(transport: Transport, file: Path, run: Run, *, seconds_max: float = 20) -> EnrollReport:
    async with Sluice(transport=transport) as sluice:
        work = FileEnrollment(sluice, "welcome", file, run=run, chunk_size=10, seconds_max=seconds_max)
        return await work.enroll()


def all_in(event: Event) -> dict[str, Any]:
    return {"enrolled": len(event.data["contact_ids"]), "refused": {}}


def test_ids_come_from_the_content_the_sequence_the_chunk_and_the_run(tmp_path: Path) -> None:
    one, other = contacts(tmp_path, 3), contacts(tmp_path, 4, name="other.csv")
    run = begun(tmp_path, one)

    ids = {
        run.command_id("welcome", 0),
        run.command_id("welcome", 1),
        run.command_id("tips", 0),
        Run("another", run.content_hash, continued=False, file=run.file).command_id("welcome", 0),
        Run(run.run_id, content_hash(other), continued=False, file=run.file).command_id("welcome", 0),
    }

    assert len(ids) == 5
    assert run.command_id("welcome", 0) in ids


def test_an_unfinished_run_goes_on_and_a_finished_one_begins_anew(tmp_path: Path) -> None:
    file = contacts(tmp_path, 3)
    first = begun(tmp_path, file)

    interrupted = begun(tmp_path, file)
    interrupted.finish()
    anew = begun(tmp_path, file)

    assert (first.continued, interrupted.continued, anew.continued) == (False, True, False)
    assert interrupted.run_id == first.run_id
    assert anew.run_id != first.run_id


def test_a_run_is_one_file_one_sequence_and_one_deployment(tmp_path: Path) -> None:
    file = contacts(tmp_path, 3)
    here = begun(tmp_path, file)

    there = begun(tmp_path, file, deployment="there")
    tips = begun(tmp_path, file, sequence_id="tips")
    more = begun(tmp_path, contacts(tmp_path, 4))

    assert len({here.run_id, there.run_id, tips.run_id, more.run_id}) == 4


def test_a_run_file_that_was_cut_short_begins_anew(tmp_path: Path) -> None:
    file = contacts(tmp_path, 3)
    run = begun(tmp_path, file)
    run.file.write_text('{"run_')

    assert not begun(tmp_path, file).continued


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    file = contacts(tmp_path, 3)
    (tmp_path / "state").write_text("a file")

    with pytest.raises(RunNotKept, match="XDG_STATE_HOME"):
        begun(tmp_path, file)


def test_runs_live_in_the_state_folder_of_the_user() -> None:
    assert runs.state_folder({"XDG_STATE_HOME": "/state"}) == Path("/state/sluice/imports")
    assert runs.state_folder({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/sluice/imports"


async def test_a_file_is_sent_in_chunks_and_counted_by_reason(
    transport: Transport, services: Any, refusal: Any, tmp_path: Path
) -> None:
    def result(event: Event) -> dict[str, Any]:
        if event.key == "welcome:1":
            raise refusal("sequence_not_active", "it was never published")
        return {"enrolled": 8, "refused": {"already_enrolled": 2}}

    services.results["EnrollContacts"] = result
    file = contacts(tmp_path, 30)
    run = begun(tmp_path, file)

    report = await enroll(transport, file, run)

    assert report.done
    assert report.enrolled == 16
    assert report.refused == {"already_enrolled": 4, "sequence_not_active": 10}
    assert sorted(event.key for event in services.commands) == ["welcome:0", "welcome:1", "welcome:2"]
    assert {event.id for event in services.commands} == {run.command_id("welcome", number) for number in range(3)}
    assert not run.file.exists()


async def test_an_interrupted_run_goes_on_with_the_same_ids_and_nobody_is_asked_twice(
    transport: Transport, services: Any, tmp_path: Path
) -> None:
    services.results["EnrollContacts"] = all_in
    file = contacts(tmp_path, 25)
    played, services.react = services.react, lambda record: []
    cut_short = await enroll(transport, file, begun(tmp_path, file), seconds_max=0.3)
    services.react = played

    run = begun(tmp_path, file)
    report = await enroll(transport, file, run)

    assert not cut_short.done
    assert cut_short.chunks_sent == 3
    assert run.continued
    assert report.done
    assert report.enrolled == 25
    assert len({event.id for event in services.commands}) == len(services.commands) == 3


async def test_after_a_chunk_without_an_answer_no_more_are_sent(services: Any, tmp_path: Path) -> None:
    services.silent.add("EnrollContacts")
    file = contacts(tmp_path, 1_000)

    report = await enroll(MemoryTransport(react=services.react), file, begun(tmp_path, file), seconds_max=0.1)

    assert report.chunks_sent < 20
    assert len(report.unanswered) == report.chunks_sent
    assert not report.done


async def test_repeated_and_invalid_ids_are_left_out(services: Any, tmp_path: Path) -> None:
    services.results["EnrollContacts"] = all_in
    file = tmp_path / "contacts.csv"
    file.write_text("contact_id,email\nc-1,a\nc 2,b\nc-1,c\nc-3,d\n")

    report = await enroll(MemoryTransport(react=services.react), file, begun(tmp_path, file))

    assert report.enrolled == 2
    assert [(line.number, line.rule.split(":")[0]) for line in report.invalid_lines] == [
        (3, "contact_id"),
        (4, "contact_id"),
    ]
    assert json.loads(json.dumps(services.commands[0].data))["contact_ids"] == ["c-1", "c-3"]


@pytest.mark.parametrize("content", ["", "id\nada\n", "contact_id,contact_id\nada,ada\n"])
async def test_a_file_that_names_no_contacts_is_refused_in_a_sentence_and_leaves_no_run(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text(content)
    run = begun(tmp_path, file)

    with pytest.raises(UnusableFile):
        await enroll(MemoryTransport(), file, run)

    assert not run.file.exists()
