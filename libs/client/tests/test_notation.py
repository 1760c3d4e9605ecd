"""How moments, pauses and edits are written for a simulation."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sluice.simulation.notation import EditGiven, read_edit, read_moment, read_pause
from sluice.simulation.scenario import Pause, UnusableScenario

START = datetime(2027, 3, 26, 7, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def moment(text: str) -> datetime:
    return read_moment(text, start=START, zone=BERLIN, place="--start")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+30d", START + timedelta(days=30)),
        ("1d12h", START + timedelta(hours=36)),
        ("2027-03-26T08:00", START),
        ("2027-03-26", START - timedelta(hours=8)),
        ("2027-03-26T08:00Z", START + timedelta(hours=1)),
        ("2027-03-26T08:00+05:30", START - timedelta(hours=4, minutes=30)),
        ("2027-03-28T02:30", datetime(2027, 3, 28, 1, tzinfo=UTC)),  # left out: the first moment after the gap
        ("2027-10-31T02:30", datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),  # shown twice: the first of both
    ],
)
def test_a_moment_is_a_duration_or_a_time_by_the_walls_clock(text: str, expected: datetime) -> None:
    assert moment(text) == expected


def test_a_fixed_offset_is_a_zone_too() -> None:
    found = read_moment("2027-03-26T08:00", start=START, zone=timezone(timedelta(hours=1)), place="--start")

    assert found == START


@pytest.mark.parametrize("text", ["tomorrow", "", "3w", "99999d", "2027-13-01"])
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(UnusableScenario, match="--start: must be a duration from the start"):
        moment(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2d..3d", Pause(START + timedelta(days=2), START + timedelta(days=3))),
        ("2d..", Pause(START + timedelta(days=2), None)),
        ("1h..2h:skip:admit", Pause(START + timedelta(hours=1), START + timedelta(hours=2), "skip", None, True)),
        (
            "2027-03-26T09:00..2027-03-26T10:00:send-now:2h30m",
            Pause(START + timedelta(hours=1), START + timedelta(hours=2), "send_now", timedelta(minutes=150)),
        ),
    ],
)
def test_a_pause_has_two_ends_and_perhaps_what_its_resume_does(text: str, expected: Pause) -> None:
    assert read_pause(text, moment=moment, place="--pause") == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("2d", "--pause: must be FROM..TO"),
        ("2d..3d:later", "--start: must be a duration"),
        ("2d..3d:skip:2h", "--pause: only send-now takes a max lateness"),
        ("2d..3d:send-now:2x", "--start: must be a duration"),
        ("2d..3d:send-now:9h2d", "--pause: the max lateness must be a duration"),
    ],
)
def test_a_pause_that_is_none_is_refused(text: str, rule: str) -> None:
    with pytest.raises(UnusableScenario, match=rule):
        read_pause(text, moment=moment, place="--pause")


def test_an_edit_names_a_file_and_who_follows(tmp_path: Path) -> None:
    odd = tmp_path / "odd:pin"
    odd.write_text("{}")
    in_two_days = START + timedelta(days=2)

    assert read_edit("2d=new.json", moment=moment, place="--edit") == EditGiven(in_two_days, "new.json", "follow")
    assert read_edit("2d=new.json:pin", moment=moment, place="--edit") == EditGiven(in_two_days, "new.json", "pin")
    assert read_edit("2d=new.json:follow", moment=moment, place="--edit").file == "new.json"
    assert read_edit(f"2d={odd}", moment=moment, place="--edit").in_flight == "follow"
    with pytest.raises(UnusableScenario, match="--edit: must be TIME=FILE"):
        read_edit("new.json", moment=moment, place="--edit")
