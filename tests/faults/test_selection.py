"""The short selection of scenes, one that fails, and one planted bug that must be found; all scenes: `make faults`."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console
from testkit.checker import History

from tests.faults.__main__ import SEED, run
from tests.faults.planted import PLANTED
from tests.faults.report import Report
from tests.faults.scene import Outcome, Play, Scene
from tests.faults.scenes import CI, SCENES

PLANT: Final = PLANTED["gate-ignored"]


async def fails(play: Play) -> None:
    """While all is paused."""
    await play.pause_all()
    raise TimeoutError("nothing came to the point")


FAILS: Final = Scene("fails", "a fault that cannot be brought about", fails, load_seconds=4.0)
pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What was seen of all of them, on one stack."""
    kept: Path = tmp_path_factory.mktemp("histories")
    report = Report(Console(width=160), seed=SEED, kept=kept)
    asyncio.run(run([*(SCENES[one] for one in CI), FAILS], [PLANT], report, seed=SEED, kept=kept))
    return report


def outcome_of(name: str, report: Report) -> Outcome:
    return next(one for one in report.outcomes if one.scene.name == name)


def test_every_scene_is_played_to_its_end(report: Report) -> None:
    assert report.failures == []
    assert [outcome.scene.name for outcome in report.outcomes] == [*CI, FAILS.name]


def broken(outcome: Outcome) -> list[str]:
    """What makes a run of the tests red."""
    failed = [] if outcome.failed is None else [outcome.failed]
    return [*failed, *outcome.left, *(str(one) for found in outcome.verdict.values() for one in found)]


@pytest.mark.parametrize("name", CI)
def test_every_promise_holds_in(name: str, report: Report) -> None:
    assert broken(outcome_of(name, report)) == []


def test_a_scene_whose_fault_fails_is_red_and_judged_all_the_same(report: Report) -> None:
    outcome = outcome_of(FAILS.name, report)

    assert broken(outcome) == ["TimeoutError: nothing came to the point"]


def test_the_history_of_a_scene_that_fails_is_kept(report: Report) -> None:
    assert History.read(report.kept / f"{FAILS.name}-{SEED}").clients


def test_a_planted_bug_turns_it_red(report: Report) -> None:
    (found,) = report.planted

    assert broken(found.outcome), f"{PLANT.what}: nothing was found"
    assert found.named, f"{PLANT.what}: only {found.broken} was found"
