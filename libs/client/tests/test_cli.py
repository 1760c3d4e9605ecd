"""The command line: what it prints, what it asks, how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import sluice
from sluice import Event, Unreachable
from sluice.cli import app
from sluice.cli.frame import Link
from sluice.memory import MemoryTransport
from sluice_contracts import topics
from sluice_contracts.answers import Fault
from sluice_contracts.erasure import SequenceErased
from sluice_contracts.sequences import SequenceDeleted, SequencePaused, SequencePublished, SequenceStopped
from typer.testing import CliRunner, Result

NOON = "2026-11-24T12:00:00Z"
Write = Callable[..., bytes]
STATE: Mapping[str, Any] = {
    "sequence_id": "welcome",
    "state_version": 3,
    "status": "active",
    "epoch": 1,
    "revision": 2,
    "version": 1,
    "published": {"name": "Welcome", "steps": [{"step_id": "hello"}]},
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": NOON,
}
RECEIPTS = {"entry_closed_at": NOON, "halted_at": NOON, "dropped": 1_234, "in_flight": 2}


class CommandLine:
    """Runs commands on a transport in memory."""

    def __init__(self, services: Any) -> None:
        self.transport = MemoryTransport(react=lambda record: services.react(record))
        self._runner = CliRunner()

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        link = Link(self.transport, deployment="memory", hint="Start it.")
        found: Result = self._runner.invoke(app, list(arguments), obj=lambda _: link, input=stdin)
        return found


@pytest.fixture
def run(services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SLUICE_ACTOR", "anna")
    return CommandLine(services)


def test_help_shows_an_example_for_every_command(run: CommandLine) -> None:
    names = [
        "save",
        "publish",
        "pause",
        "resume",
        "delete",
        "list",
        "show",
        "enroll",
        "remove",
        "contacts-import",
        "simulate",
        "watch",
    ]

    pages = {name: run(name, "--help") for name in names}

    assert all(page.exit_code == 0 for page in pages.values())
    assert [name for name, page in pages.items() if f"sluice {name}" not in page.stdout] == []


def test_save_reads_a_file_or_stdin(run: CommandLine, services: Any, tmp_path: Path) -> None:
    services.results["SaveSequence"] = lambda _: {"revision": 1, "status": "draft"}
    file = tmp_path / "welcome.json"
    file.write_text('{"name": "Welcome"}')

    from_file = run("save", "welcome", str(file))
    from_stdin = run("save", "welcome", "-", "--json", stdin='{"name": "Welcome"}')

    assert (from_file.exit_code, from_file.stdout) == (0, "Saved welcome: revision 1 (draft).\n")
    assert json.loads(from_stdin.stdout)["revision"] == 1
    assert [event.data["definition"] for event in services.commands] == [{"name": "Welcome"}] * 2
    assert {(event.actor, event.source) for event in services.commands} == {("anna", "sluice-cli")}


def test_save_keeps_a_draft_that_is_unfinished_and_says_what_is_missing(run: CommandLine, services: Any) -> None:
    services.results["SaveSequence"] = lambda _: {"revision": 1, "status": "draft"}

    plain = run("save", "welcome", "-", stdin='{"name": "Welcome", "steps": [{"step_id": "a", "after": "soon"}]}')
    machine = run("save", "welcome", "-", "--json", stdin='{"name": "Welcome"}')

    assert (plain.exit_code, plain.stdout) == (0, "Saved welcome: revision 1 (draft).\n")
    assert "It cannot be published yet; faults: 2" in plain.stderr
    assert "steps[0].message: is required" in plain.stderr
    assert json.loads(machine.stdout)["faults"] == [{"place": "steps", "rule": "is required"}]


@pytest.mark.parametrize(("text", "said"), [("{,", "line 1, column 2"), ("[]", "one JSON object")])
def test_a_definition_that_is_no_json_object_is_a_usage_error(
    run: CommandLine, tmp_path: Path, text: str, said: str
) -> None:
    result = run("save", "welcome", "-", stdin=text)

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_refusal_is_a_sentence_with_the_place_of_each_fault(run: CommandLine, services: Any, refusal: Any) -> None:
    def refuse(_: Event) -> dict[str, Any]:
        raise refusal("invalid", "it has faults", Fault(place="steps[0].after", rule="is required"))

    services.results["PublishSequence"] = refuse

    plain = run("publish", "welcome", "--yes")
    machine = run("publish", "welcome", "--yes", "--json")

    assert plain.exit_code == machine.exit_code == 1
    assert plain.stderr == "Refused (invalid): it has faults\n  steps[0].after: is required\n"
    assert plain.stdout == ""
    error = json.loads(machine.stdout)["error"]
    assert (error["code"], error["faults"]) == ("invalid", [{"place": "steps[0].after", "rule": "is required"}])


@pytest.mark.parametrize("verb", ["publish", "delete"])
def test_without_a_terminal_and_without_yes_nothing_is_sent(run: CommandLine, services: Any, verb: str) -> None:
    result = run(verb, "welcome")

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert services.commands == []


def test_no_answer_in_time_ends_with_three_and_says_how_to_try_again(run: CommandLine, services: Any) -> None:
    services.silent.add("PauseSequence")

    result = run("pause", "welcome", "--timeout", "0.2", "--json")

    assert result.exit_code == 3
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "timeout"
    assert f"--command-id {error['command_id']}" in result.stderr


def test_a_kafka_that_is_not_there_ends_with_three() -> None:
    result = CliRunner().invoke(app, ["list", "--bootstrap", "127.0.0.1:1"])

    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "cannot be reached" in result.stderr


def test_a_pause_can_wait_for_the_proof(run: CommandLine, services: Any, write: Write) -> None:
    stopped = SequenceStopped.model_validate({**STATE, "status": "paused", "epoch": 2, "receipts": RECEIPTS})
    services.results["PauseSequence"] = lambda _: {"epoch": 2}
    services.follows["PauseSequence"] = lambda _: [(topics.SEQUENCES_EVENTS, "welcome", write(stopped))]

    plain = run("pause", "welcome", "--wait", "stopped")
    machine = run("pause", "welcome", "--wait", "stopped", "--json")

    assert plain.exit_code == 0
    assert "welcome has stopped" in plain.stdout
    assert "1,234 pending" in plain.stdout
    assert json.loads(machine.stdout)["stopped"] is True


def test_list_and_show_read_what_the_topic_says(run: CommandLine, write: Write) -> None:
    run.transport.write(topics.SEQUENCES_EVENTS, "welcome", write(SequencePublished.model_validate(STATE)))
    paused = {**STATE, "sequence_id": "tips", "status": "paused", "draft": {"name": "Tips", "steps": []}}
    run.transport.write(topics.SEQUENCES_EVENTS, "tips", write(SequencePaused.model_validate(paused)))

    listed, shown = run("list"), run("show", "tips")
    as_json, definition = run("list", "--json"), run("show", "welcome", "--definition")

    assert "paused, stopping" in listed.stdout
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["sequence", "tips", "welcome"]
    assert "Tips" in shown.stdout
    assert [one["sequence_id"] for one in json.loads(as_json.stdout)] == ["tips", "welcome"]
    assert json.loads(definition.stdout) == STATE["published"]


def test_show_says_for_whom_a_deletion_waits(run: CommandLine, write: Write) -> None:
    deleted = SequenceDeleted.model_validate({**STATE, "status": "deleted", "published": None})
    receipt = SequenceErased(sequence_id="welcome", service="enrollment", rows={"enrollment": 2})
    run.transport.write(topics.SEQUENCES_EVENTS, "welcome", write(deleted))
    run.transport.write(topics.ERASURE_RECEIPTS, "welcome", write(receipt))

    result = run("show", "welcome")

    assert "sequences, delivery" in result.stdout


def test_a_question_about_what_is_not_there_is_answered_in_one_sentence(run: CommandLine) -> None:
    result = run("show", "nothing")

    assert (result.exit_code, result.stderr) == (1, "There is no such sequence.\n")


def test_one_contact_or_a_file_is_enrolled(run: CommandLine, services: Any, tmp_path: Path) -> None:
    services.results["EnrollContact"] = lambda _: {"enrollment_id": "e-1"}
    services.results["EnrollContacts"] = lambda _: {"enrolled": 1, "refused": {"already_enrolled": 1}}
    file = tmp_path / "contacts.csv"
    file.write_text("contact_id\nc-1\nc-2\n")

    one, many = run("enroll", "welcome", "c-1"), run("enroll", "welcome", "--file", str(file), "--json")
    both = run("enroll", "welcome", "c-1", "--file", str(file))

    assert "e-1" in one.stdout
    assert many.exit_code == 0
    assert json.loads(many.stdout)["refused"] == {"already_enrolled": 1}
    assert both.exit_code == 2


@pytest.mark.parametrize("content", ["contact_id\nc-1\n", "contact_id\nno id\n"])
def test_a_file_of_which_somebody_was_not_let_in_is_told_apart(
    run: CommandLine, services: Any, tmp_path: Path, content: str
) -> None:
    services.results["EnrollContacts"] = lambda _: {"enrolled": 0, "refused": {"not_found": 1}}
    file = tmp_path / "contacts.csv"
    file.write_text(content)

    result = run("enroll", "welcme", "--file", str(file))

    assert result.exit_code == 1


def test_a_half_sent_file_says_how_to_go_on_and_then_does(run: CommandLine, services: Any, tmp_path: Path) -> None:
    services.results["EnrollContacts"] = lambda event: {"enrolled": len(event.data["contact_ids"]), "refused": {}}
    file = tmp_path / "contacts.csv"
    file.write_text("contact_id\nc-1\nc-2\n")
    played, services.react = services.react, lambda record: []

    cut_short = run("enroll", "welcome", "--file", str(file), "--timeout", "0.2")
    services.react = played
    again = run("enroll", "welcome", "--file", str(file))

    assert cut_short.exit_code == 3
    assert "1 chunks (2 contacts) were sent, 0 have an answer" in cut_short.stderr
    assert again.exit_code == 0
    assert "Going on with the unfinished run" in again.stderr
    assert again.stdout == "welcome: 2 enrolled.\n"


def test_an_import_counts_and_names_invalid_lines(run: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("contact_id,email\nc-1,a@example.com\nbad id,secret\n")

    result = run("contacts-import", str(file))

    assert result.exit_code == 1
    assert "1 created, 0 updated, 0 unchanged, 1 invalid" in result.stdout
    assert "line 3: contact_id: must be an id" in result.stderr
    assert "secret" not in result.output


def test_a_removal_from_one_scope_only(run: CommandLine, services: Any) -> None:
    services.results["RemoveContact"] = lambda _: {"removal_id": "r-1", "removed": ["e-1"]}

    removed = run("remove", "c-1", "--campaign", "spring", "--json")
    both = run("remove", "c-1", "--campaign", "spring", "--sequence", "welcome")

    assert json.loads(removed.stdout)["removed"] == ["e-1"]
    assert services.commands[0].data == {"contact_id": "c-1", "campaign": "spring", "allow_reentry": False}
    assert both.exit_code == 2


def test_text_of_others_cannot_steer_the_terminal(run: CommandLine, write: Write) -> None:
    paused = {**STATE, "status": "paused", "reason": "\x1b[2Jgone"}
    run.transport.write(topics.SEQUENCES_EVENTS, "welcome", write(SequencePaused.model_validate(paused)))

    result = run("show", "welcome")

    assert "\x1b" not in result.stdout


def test_version_is_told(run: CommandLine) -> None:
    assert json.loads(run("version", "--json").stdout)["version"]


PROGRAM = """
import sys
from sluice.cli import app
from sluice.cli.frame import Link
from sluice.memory import MemoryTransport

def react(record):
    print("READY", file=sys.stderr, flush=True)
    return []

app(obj=lambda _: Link(MemoryTransport(react=react), deployment="memory"))
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause", "welcome"], "try again with --command-id"),
        (["enroll", "welcome", "--file", "contacts.csv"], "goes on with the same ids"),
    ],
)
def test_ctrl_c_says_what_was_sent_and_how_to_go_on(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "contacts.csv").write_text("contact_id\nc-1\n")
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}

    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as program:
        assert program.stderr is not None
        assert program.stderr.readline() == "READY\n"
        program.send_signal(signal.SIGINT)
        _, messages = program.communicate(timeout=20)

    assert program.returncode == 130
    assert "Interrupted" in messages
    assert said in messages


INTERRUPTED_WHILE_LOADING = """
import signal, sys
from sluice import program

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
program.main()
"""


def test_a_ctrl_c_while_the_program_is_loaded_ends_it_with_a_clean_line() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, text=True)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")


def test_the_package_gives_every_name_that_it_promises() -> None:
    promised = {name: getattr(sluice, name) for name in sluice.__all__}

    assert all(found.__name__ == name for name, found in promised.items())
    with pytest.raises(AttributeError):
        _ = sluice.Nothing


class EndingTransport(MemoryTransport):
    """Cannot be reached any more once all is read."""

    async def arrival(self) -> None:
        raise Unreachable("That was all.")


def test_watch_shows_only_the_sequences_that_are_named(write: Write) -> None:
    states = [SequencePublished(**{**STATE, "sequence_id": name}) for name in ("welcome", "spring", "other")]
    transport = EndingTransport()
    for state in states:
        transport.write(topics.SEQUENCES_EVENTS, state.key(), write(state))

    shown = CliRunner().invoke(
        app, ["watch", "welcome", "spring", "--from-start", "--json"], obj=lambda _: Link(transport, "memory")
    )

    assert {json.loads(line)["key"] for line in shown.stdout.splitlines() if "key" in line} == {"welcome", "spring"}
