"""How a pause ends, who follows an edit, what is suspended: as commands, with what was so already."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice import Unreachable
from sluice.cli import app
from sluice.cli.frame import Link, Usage
from sluice.cli.moments import read_moment
from sluice.memory import MemoryTransport
from sluice_contracts import topics
from sluice_contracts.delivery import DeliverySuspended
from sluice_contracts.sequences import (
    SequenceDeleted,
    SequencePaused,
    SequencePublished,
    SequenceResumed,
    SequenceState,
    SequenceStopped,
)
from typer.testing import CliRunner, Result

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEFORE = NOON - timedelta(hours=1)
Write = Callable[..., bytes]
STATE: Mapping[str, Any] = {
    "sequence_id": "welcome",
    "state_version": 3,
    "status": "active",
    "epoch": 4,
    "revision": 2,
    "version": 2,
    "follow_version": 2,
    "published": {"name": "Welcome", "steps": [{"step_id": "hello"}]},
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": BEFORE,
}
RECEIPTS = {"entry_closed_at": BEFORE, "halted_at": BEFORE, "dropped": 1_234, "in_flight": 2}


class CommandLine:
    """Runs commands on a transport in memory."""

    def __init__(self, services: Any, write: Write) -> None:
        self.transport = MemoryTransport(react=lambda record: services.react(record))
        self.services = services
        self._write = write
        self._runner = CliRunner()
        services.clock = NOON

    def __call__(self, *arguments: str) -> Result:
        link = Link(self.transport, deployment="memory", hint="Start it.")
        found: Result = self._runner.invoke(app, list(arguments), obj=lambda _: link)
        return found

    def asked(self) -> dict[str, Any]:
        """The data of the command that was sent last."""
        data: dict[str, Any] = dict(self.services.commands[-1].data)
        return data

    def stands(self, model: type[SequenceState], **changes: Any) -> None:
        """The sequence, as its topic says."""
        record = self._write(model.model_validate({**STATE, **changes}))
        self.transport.write(topics.SEQUENCES_EVENTS, "welcome", record)


@pytest.fixture
def run(services: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SLUICE_ACTOR", "anna")
    services.results["PublishSequence"] = lambda _: {"version": 2}
    for kind in ("PauseSequence", "ResumeSequence", "DeleteSequence", "SuspendDelivery", "RestoreDelivery"):
        services.results[kind] = lambda _: {"epoch": 4}
    services.results["ResolveMessage"] = lambda event: {"outcome": event.data["outcome"]}
    return CommandLine(services, write)


@pytest.mark.parametrize("name", ["suspend", "restore", "unknown assume-sent", "unknown retry"])
def test_help_shows_an_example(run: CommandLine, name: str) -> None:
    page = run(*name.split(), "--help")

    assert page.exit_code == 0
    assert f"sluice {name}" in page.stdout


def test_a_resume_says_how(run: CommandLine) -> None:
    result = run("resume", "welcome", "--overdue", "send-now", "--max-lateness", "2h", "--admit", "qualifying")

    assert result.exit_code == 0
    assert run.asked() == {
        "sequence_id": "welcome",
        "overdue": "send_now",
        "max_lateness": "2h",
        "admit": "qualifying",
    }


def test_what_is_not_said_of_a_resume_is_not_sent(run: CommandLine) -> None:
    run("resume", "welcome")

    assert run.asked() == {"sequence_id": "welcome"}


def test_a_pause_can_end_at_a_time(run: CommandLine) -> None:
    result = run("pause", "welcome", "--resume-at", "2027-03-26T08:00+01:00")

    assert run.asked()["resume_at"] == "2027-03-26T07:00:00.000000Z"
    assert "It resumes at 2027-03-26 07:00:00 UTC" in result.stdout


@pytest.mark.parametrize("text", ["tomorrow", "2027-03-26T08:00", "2027-03-26", "+", "+2", "+2h30", "12:00Z"])
def test_a_time_that_is_none_is_a_usage_error(run: CommandLine, text: str) -> None:
    result = run("pause", "welcome", "--resume-at", text)

    assert result.exit_code == 2
    assert "--resume-at" in result.stderr
    assert run.services.commands == []


@given(st.integers(-(10**7), 10**7), st.timezones())
def test_a_time_is_read_whatever_its_offset(minutes: int, zone: Any) -> None:
    moment = (NOON + timedelta(minutes=minutes)).astimezone(zone)

    assert read_moment(moment.isoformat(), option="--resume-at", now=NOON) == moment


@given(st.integers(0, 1_000), st.integers(0, 100), st.integers(0, 100))
def test_a_time_can_be_told_from_now(days: int, hours: int, minutes: int) -> None:
    found = read_moment(f"+{days}d{hours}h{minutes}m", option="--resume-at", now=NOON)

    assert found == NOON + timedelta(days=days, hours=hours, minutes=minutes)


@given(st.text())
def test_any_other_text_is_refused_in_a_sentence(text: str) -> None:
    with suppress(Usage):
        assert read_moment(text, option="--resume-at", now=NOON).tzinfo is not None


@pytest.mark.parametrize(
    ("options", "asked"), [([], None), (["--pin"], "pin"), (["--follow"], "follow")], ids=["as it is", "pin", "follow"]
)
def test_a_publish_says_what_those_inside_do(run: CommandLine, options: list[str], asked: str | None) -> None:
    result = run("publish", "welcome", "--yes", *options)

    assert run.asked().get("in_flight") == asked
    assert result.stdout.startswith("Published welcome: version 2.")
    assert ("keeps the version" in result.stdout) == (asked == "pin")


def test_publishing_what_is_published_is_said_to_change_nothing(run: CommandLine) -> None:
    run.stands(SequencePublished)

    plain, machine = run("publish", "welcome", "--yes"), run("publish", "welcome", "--yes", "--json")

    assert "nothing changed" in plain.stdout
    assert json.loads(machine.stdout)["already"] is True


def test_publishing_something_is_not_said_to_change_nothing(run: CommandLine) -> None:
    run.stands(SequencePublished, updated_at=NOON)

    assert run("publish", "welcome", "--yes").stdout == "Published welcome: version 2.\n"


def test_pausing_what_is_paused_says_so(run: CommandLine) -> None:
    run.stands(SequencePaused, status="paused", paused_at=BEFORE)

    plain, machine = run("pause", "welcome"), run("pause", "welcome", "--json")

    assert "paused already (epoch 4)" in plain.stdout
    assert json.loads(machine.stdout)["already"] is True


def test_a_pause_of_this_moment_is_not_said_to_be_old(run: CommandLine) -> None:
    run.stands(SequencePaused, status="paused", paused_at=NOON)

    assert run("pause", "welcome").stdout == "The pause of welcome is under way (epoch 4).\n"


def test_pausing_what_has_stopped_shows_the_proof_of_then(run: CommandLine, write: Write) -> None:
    stopped = SequenceStopped.model_validate(
        {**STATE, "status": "paused", "paused_at": BEFORE, "receipts": RECEIPTS, "resume_at": "2027-01-01T00:00:00Z"}
    )
    run.services.follows["PauseSequence"] = lambda _: [(topics.SEQUENCES_EVENTS, "welcome", write(stopped))]

    result = run("pause", "welcome", "--wait", "stopped", "--resume-at", "2027-01-01T00:00:00Z")

    assert "welcome had stopped already. Nobody entered after 11:00:00" in result.stdout
    assert "It resumes at 2027-01-01 00:00:00 UTC" in result.stdout


@pytest.mark.parametrize("resumed_at", [None, BEFORE])
@pytest.mark.parametrize("wait", ["accepted", "resumed"])
def test_resuming_what_runs_says_that_nothing_changed(run: CommandLine, wait: str, resumed_at: datetime | None) -> None:
    run.stands(SequenceResumed, resumed_at=resumed_at)

    result = run("resume", "welcome", "--overdue", "skip", "--wait", wait)

    assert result.stdout == "welcome runs already (epoch 4): nothing changed.\n"


def test_a_resume_that_took_effect_says_so(run: CommandLine) -> None:
    run.stands(SequenceResumed, resumed_at=NOON)

    assert run("resume", "welcome", "--wait", "resumed").stdout == "welcome runs again.\n"


def test_deleting_what_is_being_deleted_says_so(run: CommandLine) -> None:
    run.stands(SequenceDeleted, status="deleted", published=None)

    assert run("delete", "welcome", "--yes").stdout == "welcome is being deleted already (epoch 4).\n"


def test_deleting_what_is_erased_says_so(run: CommandLine) -> None:
    assert run("delete", "welcome", "--yes").stdout == "welcome is erased already (epoch 4).\n"


def test_a_deletion_of_this_moment_is_not_said_to_be_old(run: CommandLine) -> None:
    run.stands(SequenceDeleted, status="deleted", published=None, updated_at=NOON)

    assert run("delete", "welcome", "--yes").stdout == "The deletion of welcome is under way (epoch 4).\n"


def test_that_the_state_cannot_be_read_afterwards_is_no_failure(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any, **__: Any) -> Any:
        raise Unreachable("Kafka does not answer.")

    monkeypatch.setattr(run.transport, "read_to_end", unreadable)

    result = run("pause", "welcome")

    assert (result.exit_code, result.stdout) == (0, "The pause of welcome is under way (epoch 4).\n")


def test_show_tells_when_it_resumes_and_whom_an_edit_reaches(run: CommandLine) -> None:
    run.stands(
        SequencePaused, status="paused", paused_at=BEFORE, resume_at="2027-01-01T00:00:00Z", version=3, in_flight="pin"
    )

    shown = run("show", "welcome").stdout

    assert "by itself at 2027-01-01 00:00:00 UTC" in shown
    assert "follow version 2" in shown


def test_show_tells_how_it_was_resumed(run: CommandLine) -> None:
    more = {"overdue": "send_now", "max_lateness": "2h", "admit": "qualifying"}
    run.stands(SequenceResumed, paused_at=BEFORE, resumed_at=NOON, **more)

    assert "send now, at most 2h late, letting in who qualifies still" in run("show", "welcome").stdout


def test_suspending_waits_for_the_proof(run: CommandLine, write: Write) -> None:
    receipt = DeliverySuspended(scope="channel:email", epoch=4, reason="down", in_flight=1_200, halted_at=NOON)
    run.services.follows["SuspendDelivery"] = lambda _: [(topics.DELIVERY_CONTROL, "channel:email", write(receipt))]

    plain = run("suspend", "channel:email", "--reason", "down")
    machine = run("suspend", "channel:email", "--json")

    assert plain.stdout == (
        "channel:email is suspended (down). Nothing leaves after 12:00:00.000000 (UTC); 1,200 had already left.\n"
    )
    assert json.loads(machine.stdout)["suspended"] is True


def test_suspending_what_is_suspended_says_since_when(run: CommandLine, write: Write) -> None:
    receipt = DeliverySuspended(scope="all", epoch=4, reason="7 of 10 refused", in_flight=0, halted_at=BEFORE)
    run.services.follows["SuspendDelivery"] = lambda _: [(topics.DELIVERY_CONTROL, "all", write(receipt))]

    result = run("suspend", "all")

    assert "was suspended already (7 of 10 refused): nothing has left since 2026-11-24 11:00:00 UTC" in result.stdout


def test_restoring_what_is_not_suspended_says_so(run: CommandLine) -> None:
    run.services.results["RestoreDelivery"] = lambda _: {"epoch": 0}

    assert run("restore", "channel:email").stdout == "channel:email was not suspended.\n"


def test_a_pause_that_would_resume_in_the_past_is_not_sent(run: CommandLine, services: Any) -> None:
    found = run("pause", "welcome", "--resume-at", "2020-01-01T00:00Z")

    assert (found.exit_code, found.stderr) == (2, "--resume-at: must lie in the future.\n")
    assert services.commands == []


def test_a_suspension_need_not_be_waited_for(run: CommandLine) -> None:
    assert "is accepted (epoch 4)" in run("suspend", "all", "--wait", "accepted").stdout


def test_what_is_unknown_is_decided_by_hand(run: CommandLine) -> None:
    sent, again = run("unknown", "assume-sent", "m-1"), run("unknown", "retry", "m-2", "--json")

    assert sent.stdout == "m-1 counts as sent.\n"
    assert json.loads(again.stdout)["outcome"] == "retry"
