"""The command line as a person and a script use it, against everything that runs."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from chassis.clock import monotonic
from sluice.kafka import CONNECT_SECONDS_MAX

from tests.e2e.campaign import Campaign
from tests.e2e.command_line import CommandLine

pytestmark = pytest.mark.stack

START_SECONDS_MAX = 30.0
"""For the interpreter of a busy machine; the program's own bound comes on top."""


@pytest.fixture
def contacts(campaign: Campaign, tmp_path: Path) -> Path:
    """Three contacts in a file."""
    file = tmp_path / "contacts.csv"
    rows = [f"{campaign.contact(number)},{campaign.address(number)},Ada {number}" for number in range(3)]
    file.write_text("\n".join(["contact_id,email,first_name", *rows]) + "\n")
    return file


@pytest.fixture
def written(campaign: Campaign) -> dict[str, Any]:
    """A sequence of two mails."""
    return campaign.definition(campaign.email("first"), campaign.email("second", after="1h"))


@pytest.fixture
def definition(written: dict[str, Any], tmp_path: Path) -> Path:
    """The same in a file."""
    file = tmp_path / "sequence.json"
    file.write_text(json.dumps(written))
    return file


async def test_a_campaign_manager_takes_a_sequence_through_its_whole_life(
    command_line: CommandLine, campaign: Campaign, contacts: Path, definition: Path
) -> None:
    name, sluice = campaign.sequence_id, command_line.json

    imported = await sluice("contacts-import", str(contacts))
    again = await sluice("contacts-import", str(contacts))
    saved = await sluice("save", name, str(definition))
    published = await sluice("publish", name, "--yes")
    enrolled = await sluice("enroll", name, "--file", str(contacts))
    listed = await sluice("list")
    paused = await sluice("pause", name, "--reason", "wrong price", "--wait", "stopped")
    shown = await sluice("show", name)
    resumed = await sluice("resume", name, "--wait", "resumed")
    removed = await sluice("remove", campaign.contact(0), "--sequence", name, "--wait", "halted")
    deleted = await sluice("delete", name, "--yes", "--wait", "erased")
    gone = await command_line("show", name)

    assert (imported["created"], again["created"], again["updated"], again["unchanged"]) == (3, 0, 0, 3)
    assert (saved["revision"], saved["status"], published["version"]) == (1, "draft", 1)
    assert (enrolled["done"], enrolled["enrolled"], enrolled["refused"]) == (True, 3, {})
    assert [one["status"] for one in listed if one["sequence_id"] == name] == ["active"]
    assert paused["stopped"]
    assert (shown["status"], shown["reason"], shown["receipts"]) == (
        "paused",
        "wrong price",
        paused["state"]["receipts"],
    )
    assert resumed["running"]
    assert len(removed["removed"]) == 1
    assert set(deleted["rows"]) == {"sequences", "enrollment", "delivery", "console"}
    assert (gone.code, gone.stderr.strip()) == (1, "There is no such sequence.")


async def test_what_a_person_reads_is_a_sentence_and_a_table(
    command_line: CommandLine, campaign: Campaign, written: dict[str, Any]
) -> None:
    name = campaign.sequence_id

    saved = await command_line("save", name, "-", stdin=json.dumps(written))
    listed = await command_line("list")
    shown = await command_line("show", name)
    draft = await command_line("show", name, "--definition")

    assert (saved.code, saved.stdout) == (0, f"Saved {name}: revision 1 (draft).\n")
    (row,) = [line.split() for line in listed.stdout.splitlines() if line.startswith(name)]
    assert row[:5] == [name, "draft", "–", "revision", "1"]
    assert "status     draft" in shown.stdout.splitlines()
    assert json.loads(draft.stdout) == written


async def test_a_refusal_names_each_place_and_changes_nothing(command_line: CommandLine, campaign: Campaign) -> None:
    name = campaign.sequence_id
    faulty = campaign.definition(campaign.email("mail", after="soon"), campaign.email("mail"))
    faulty["steps"][1]["message"]["text"] = "Hi {{ contact.first_name"
    await campaign.sluice.save(name, faulty)

    for_people = await command_line("publish", name, "--yes")
    for_programs = await command_line("publish", name, "--yes", "--json")

    assert (for_people.code, for_people.stdout) == (1, "")
    first, *places = for_people.stderr.splitlines()
    assert first.startswith("Refused (invalid): the draft cannot be published")
    told = {line.strip().partition(": ")[0] for line in places}
    assert told == {"steps[0].after", "steps", "steps[1].message.text"}
    error: dict[str, Any] = json.loads(for_programs.stdout)["error"]
    assert (for_programs.code, error["code"]) == (1, "invalid")
    assert {fault["place"] for fault in error["faults"]} == told
    found = await campaign.sluice.sequence(name)
    assert found is not None
    assert found.status == "draft"


async def test_what_does_not_exist_is_not_found(command_line: CommandLine, campaign: Campaign) -> None:
    refused = await command_line("pause", f"{campaign.sequence_id}-never", "--json")

    assert (refused.code, json.loads(refused.stdout)["error"]["code"]) == (1, "not_found")


@pytest.mark.parametrize("verb", ["publish", "delete"])
async def test_without_a_terminal_nothing_is_confirmed(
    command_line: CommandLine, campaign: Campaign, written: dict[str, Any], verb: str
) -> None:
    await campaign.sluice.save(campaign.sequence_id, written)

    asked = await command_line(verb, campaign.sequence_id, stdin="y\n")

    assert (asked.code, asked.stdout) == (2, "")
    assert asked.stderr.startswith("There is no terminal to ask on: pass --yes")
    found = await campaign.sluice.sequence(campaign.sequence_id)
    assert found is not None
    assert found.status == "draft"


async def test_watching_shows_what_happens_until_ctrl_c(
    command_line: CommandLine, campaign: Campaign, written: dict[str, Any]
) -> None:
    name = campaign.sequence_id

    async with command_line.running("watch", name) as watching:
        await watching.line(lambda line: line.startswith("Watching"))
        await campaign.sluice.save(name, written)
        await campaign.sluice.publish(name)
        seen = [await watching.line(lambda line: name in line) for _ in range(2)]
        code = await watching.interrupt()

    assert code == 130
    assert [line.split()[1] for line in seen] == ["SequenceSaved", "SequencePublished"]
    assert all("Traceback" not in line for line in watching.lines)


async def test_a_kafka_that_cannot_be_reached_is_said_within_its_bound(command_line: CommandLine) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{reserved.getsockname()[1]}"
        began = monotonic()
        failed = await command_line("list", "--bootstrap", nowhere, "--json")
        seconds = monotonic() - began

    assert (failed.code, json.loads(failed.stdout)["error"]["code"]) == (3, "unreachable")
    assert failed.stderr.startswith(f"Kafka at {nowhere} ")
    assert seconds < CONNECT_SECONDS_MAX + START_SECONDS_MAX
