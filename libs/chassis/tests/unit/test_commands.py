"""What a service's command ends with, and what a person reads then."""

from collections.abc import Callable

import pytest
from chassis.commands import exit_code, tell_applied
from chassis.migrate import MigrationRefused
from chassis.pool import DatabaseUnreachable
from chassis.settings import SettingsFault


def raising(error: Exception) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [(SettingsFault("no URL"), 2), (MigrationRefused("no URL"), 1), (DatabaseUnreachable("no URL"), 1)],
)
def test_what_stands_in_the_way_is_one_line_and_a_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("python -m x", raising(error)) == code
    assert capsys.readouterr().err == "python -m x: no URL\n"


def test_a_command_that_is_done_ends_with_0_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("python -m x", lambda: None) == 0
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_is_not_taken_for_one_of_the_surroundings() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code("python -m x", raising(ZeroDivisionError()))


def test_what_was_applied_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    tell_applied(["0001_pre_a.sql", "0002_pre_b.sql"])
    tell_applied([])

    assert capsys.readouterr().out == "applied 0001_pre_a.sql\napplied 0002_pre_b.sql\nnothing to apply\n"
