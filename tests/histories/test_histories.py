"""Random histories of the real services beside a model of what the words mean; see `libs/testkit`, package `pump`.

A history that fails is printed as the steps that lead there, as few as hypothesis finds, and can be played again.
`SLUICE_HISTORIES` says how many are played (25), `SLUICE_HISTORY_STEPS` how long they are (40); with
`SLUICE_HISTORY_SHRINKS=0` a history that fails is printed as it was found.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest
import structlog
from chassis.clock import monotonic
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from testkit.stack import Servers

from tests.histories import machine
from tests.histories.machine import Histories, Stage
from tests.pump.database import database

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
HISTORIES = int(os.environ.get("SLUICE_HISTORIES", "25"))
SHRINKS = os.environ.get("SLUICE_HISTORY_SHRINKS", "1") != "0"
PHASES = [phase for phase in Phase if SHRINKS or phase not in (Phase.shrink, Phase.explain)]
STEPS = int(os.environ.get("SLUICE_HISTORY_STEPS", "40"))


def test_the_services_do_what_the_words_mean(running: Servers) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = monotonic()
    with asyncio.Runner() as runner:
        opened = database(running, roles=(ROOT / "deploy/postgres/roles.sql").read_text())
        machine.stage = Stage(runner.run(opened.__aenter__()), runner)
        try:
            run_state_machine_as_test(
                Histories,
                settings=settings(
                    max_examples=HISTORIES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    print_blob=True,
                    report_multiple_bugs=False,
                    phases=PHASES,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))
            structlog.reset_defaults()
    for what, count in sorted(machine.stage.seen.items()):
        sys.stdout.write(f"{count:8,} {what}\n")
    sys.stdout.write(f"{machine.stage.played} histories in {monotonic() - began:.0f} s\n")
