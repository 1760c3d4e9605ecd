"""`sluice simulate`: what it prints and writes, and how it says what is wrong."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from sluice.cli import app
from sluice.cli import simulate as simulate_module
from typer.testing import CliRunner, Result

STEPS = [
    {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hi"}},
    {"step_id": "tips", "after": "2d", "message": {"channel": "email", "subject": "Tips", "text": "Tips"}},
]
OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    (tmp_path / "contacts.csv").write_text(
        "contact_id,email,timezone,stage\nada,ada@example.com,Europe/Berlin,New\n"
        "grace,grace@example.com,America/New_York,New\nbroken,nobody,,\n"
    )
    write(tmp_path / "welcome.json", delivery=OFFICE)
    return tmp_path


def write(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({"name": "Welcome", "steps": STEPS, **fields}))


def simulate(*arguments: str) -> Result:
    found: Result = CliRunner().invoke(
        app, ["simulate", "welcome.json", "--contacts", "contacts.csv", "--start", "2027-03-26T08:00", *arguments]
    )
    return found


def test_it_says_who_gets_what_and_when(folder: Path) -> None:
    result = simulate("--svg", "heat.svg")

    assert result.exit_code == 0
    assert "4 messages to 2 of 2 contacts" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["ada", "welcome", "sent", "Fri", "26", "Mar", "09:00", "CET", "Fri", "26", "Mar", "08:00", "CET"] in rows
    assert ["grace", "welcome", "sent", "Fri", "26", "Mar", "14:00", "CET", "Fri", "26", "Mar", "08:00", "CET"] in rows
    assert "clocks forward 1 h" in result.stdout
    assert "line 4: email: must be one e-mail address" in result.stderr
    assert (folder / "heat.svg").read_text().startswith("<svg ")


def test_as_json_it_tells_all_times_with_their_offset(folder: Path) -> None:
    write(folder / "second.json", steps=[STEPS[0], {**STEPS[1], "after": "3d"}])

    found = json.loads(simulate("--json", "--edit", "1h=second.json", "--pause", "1d..2d", "--limit", "1").stdout)

    assert (found["contacts"], found["invalid"], found["sent"], found["zone"]) == (2, 1, 4, "Europe/Berlin")
    assert found["ends"] == {"completed": 2}
    assert [step["step_id"] for step in found["steps"]] == ["welcome", "tips"]
    assert found["hours"][0] == {"at": "2027-03-26T09:00:00+01:00", "sent": 2}
    (journey,) = found["journeys"]
    assert journey["contact_id"] == "ada"
    assert [step["version"] for step in journey["steps"]] == [2, 2]
    assert journey["steps"][1]["at"] == "2027-03-30T10:00:00+02:00"


def test_with_a_trigger_only_those_enter_for_whom_start_when_holds(folder: Path) -> None:
    start = [{"field": "stage", "op": "equals", "value": "Won"}]
    write(folder / "welcome.json", trigger={"on": ["created"]}, start_when=start)

    by_trigger, imported = simulate("--json"), simulate("--json", "--via", "import")

    assert json.loads(by_trigger.stdout)["refused"] == {"start_when": 2}
    assert json.loads(imported.stdout)["entered"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--until", "soon"], "--until: must be a duration"),
        (["--pause", "2d..1d"], "--pause: must end after it begins"),
        (["--edit", "1d=missing.json"], "missing.json cannot be read"),
        (["--zone", "Mars/Phobos"], "--zone: must be the name of a time zone"),
        (["--via", "trigger"], "--via: the definition has no trigger"),
        (["--enters", "came"], "has no moment in a column came"),
    ],
)
def test_what_cannot_be_simulated_is_a_usage_error(folder: Path, arguments: list[str], said: str) -> None:
    result = simulate(*arguments)

    assert result.exit_code == 2
    assert said in result.stderr


def test_every_fault_of_a_definition_is_named_with_its_place(folder: Path) -> None:
    write(
        folder / "welcome.json",
        steps=[{**STEPS[0], "after": "soon"}],
        delivery=OFFICE | {"timezone": "contact", "to": "9"},
    )
    broken = simulate()
    write(folder / "welcome.json", delivery=OFFICE | {"timezone": "Mars/Phobos"})
    no_zone = simulate()

    assert broken.exit_code == no_zone.exit_code == 2
    assert "welcome.json cannot be published" in broken.stderr
    assert "steps[0].after: " in broken.stderr
    assert "delivery.to: must be a time of day" in broken.stderr
    assert "delivery.timezone: must be contact or the name of a time zone" in no_zone.stderr


def test_a_ctrl_c_ends_it_though_nothing_is_awaited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate_module, "read_people", lambda *_, **__: signal.raise_signal(signal.SIGINT))

    ended = simulate()

    assert (ended.exit_code, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")
