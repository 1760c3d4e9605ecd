"""Random histories of the real services beside a model of what the words mean; see `tests/pump`.

A history that fails is printed as the steps that lead there, as few as hypothesis finds, and can be played again. Real
time goes on in it, beside the jumps: where it goes on differently when it is played again, what failed first is raised.
`SLUICE_HISTORIES` says how many are played (25), `SLUICE_HISTORY_STEPS` how long they are (40); with
`SLUICE_HISTORY_SHRINKS=0` a history that fails is printed as it was found. With `CI=true` the same ones are played each
time, so that what fails there is the change's; everywhere else new ones are.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog
from chassis.clock import monotonic
from delivery.loops import contents
from delivery.store import claiming
from enrollment.domain import entry
from enrollment.domain.entry import Been
from enrollment.handlers import conditions, triggers
from enrollment.store import enrollments
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from testkit.stack import Servers

from tests.histories import machine
from tests.histories.machine import Histories, Stage
from tests.pump.database import database

pytestmark = pytest.mark.stack

ROLES = Path(__file__).parents[2] / "deploy/postgres/roles.sql"
HISTORIES = int(os.environ.get("SLUICE_HISTORIES", "25"))
STEPS = int(os.environ.get("SLUICE_HISTORY_STEPS", "40"))
SHRINKS = os.environ.get("SLUICE_HISTORY_SHRINKS", "1") != "0"
ALWAYS_THE_SAME = os.environ.get("CI") == "true"
AS_FOUND = [Phase.explicit, Phase.generate]


def play(running: Servers, *, histories: int, phases: list[Phase]) -> Stage:
    """Play so many; what was seen in them. Raises what fails first."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with asyncio.Runner() as runner:
        opened = database(running, roles=ROLES.read_text())
        machine.stage = Stage(runner.run(opened.__aenter__()), runner)
        try:
            run_state_machine_as_test(
                Histories,
                settings=settings(
                    max_examples=histories,
                    stateful_step_count=STEPS,
                    deadline=None,
                    derandomize=ALWAYS_THE_SAME,
                    print_blob=True,
                    report_multiple_bugs=False,
                    phases=phases,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Flaky as differs:
            assert machine.stage.failure is not None
            raise machine.stage.failure from differs
        finally:
            runner.run(opened.__aexit__(None, None, None))
            structlog.reset_defaults()
    return machine.stage


def test_the_services_do_what_the_words_mean(running: Servers) -> None:
    began = monotonic()

    stage = play(running, histories=HISTORIES, phases=list(Phase) if SHRINKS else AS_FOUND)

    for what, count in sorted(stage.seen.items()):
        sys.stdout.write(f"{count:8,} {what}\n")
    sys.stdout.write(f"{stage.played} histories in {monotonic() - began:.0f} s\n")


async def nothing(*_: Any) -> dict[str, Any]:
    """Do nothing, find nobody."""
    return {}


@pytest.mark.parametrize(
    ("where", "name", "broken", "found"),
    [
        (
            entry,
            "may_enter_again",
            lambda been, _: been is not Been.LIVE,
            "should be already_enrolled|(was refused|entered) and has not asked",
        ),
        (conditions, "stop_changed", nothing, "did not say .*EnrollmentStopped"),
        (contents, "opens_at", lambda *_, **__: None, "outside its window"),
        (enrollments, "replying", nothing, "did not say .*replied|said without reason"),
        (
            triggers,
            "pulls",
            lambda *_: False,
            "did not say .*(ContactEnrolled|EnrollmentRefused)|should be already_enrolled",
        ),
    ],
    ids=[
        "who was in enters again",
        "a condition that holds ends nothing",
        "a window is not looked at before a send",
        "a reply ends nothing",
        "nobody enters by themselves",
    ],
)
def test_a_rule_that_is_left_out_is_found_out(
    running: Servers, monkeypatch: pytest.MonkeyPatch, where: ModuleType, name: str, broken: Any, found: str
) -> None:
    assert callable(getattr(where, name))
    monkeypatch.setattr(where, name, broken)

    with pytest.raises(AssertionError, match=found):
        play(running, histories=100, phases=AS_FOUND)


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        ("p.due_active <= w.active_now", "p.due_active <= w.active_now + interval '1 day'"),
        ("and g.open", ""),
        ("s.status <> 'running'", "false"),
    ],
    ids=["what is not due yet is sent", "what is stopped is sent", "what is suspended is sent"],
)
def test_a_service_that_does_not_is_found_out(
    running: Servers, monkeypatch: pytest.MonkeyPatch, whole: str, broken: str
) -> None:
    for name in ("_CLAIM", "_PROBE"):
        statement = getattr(claiming, name)
        assert "due_active <=" in statement
        changed = statement.replace(whole, broken)
        changed = changed.replace("clock.now - w.clock_offset", "clock.now + interval '1 day' - w.clock_offset")
        changed = changed.replace("where g.open and", "where") if not broken else changed
        monkeypatch.setattr(claiming, name, changed)

    with pytest.raises(AssertionError, match=r"before it is due|behind a closed gate|channel is suspended"):
        play(running, histories=100, phases=AS_FOUND)
