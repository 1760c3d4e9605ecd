"""What `make faults` is asked for."""

import pytest

from tests.faults.__main__ import chosen, parsed
from tests.faults.planted import PLANTED
from tests.faults.scenes import CI, GROUPS, SCENES


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scene", "no-fault", "--selection", "ci"],
        ["--scene", "no-fault", "--planted"],
        ["--plant", "inbox-off", "--selection", "all"],
        ["--planted", "--selection", "all"],
        ["--bug", "inbox-off", "--planted"],
        ["--bug", "inbox-off", "--plant", "gate-ignored"],
    ],
    ids=" ".join,
)
def test_options_that_exclude_each_other_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(arguments)

    assert end.value.code == 2
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--scene", "rain"], ["--plant", "rain"]], ids=" ".join)
def test_what_there_is_not_is_refused_by_its_name(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(arguments)

    assert end.value.code == 2
    assert "there is no rain: see --list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "scenes", "plants"),
    [
        ([], [*SCENES.values()], [*PLANTED.values()]),
        (["--selection", "all"], [*SCENES.values()], [*PLANTED.values()]),
        (["--selection", "ci"], [SCENES[one] for one in CI], []),
        (["--planted"], [], [*PLANTED.values()]),
        (["--plant", "inbox-off"], [], [PLANTED["inbox-off"]]),
        (["--scene", "sinks", "--plant", "inbox-off"], [*GROUPS["sinks"]], [PLANTED["inbox-off"]]),
        (["--bug", "inbox-off"], [*SCENES.values()], []),
    ],
    ids=["nothing", "all", "ci", "planted", "a bug", "a group and a bug", "scenes with a bug"],
)
def test_what_is_asked_for_is_played(arguments: list[str], scenes: list[object], plants: list[object]) -> None:
    assert chosen(parsed(arguments)) == (scenes, plants)
