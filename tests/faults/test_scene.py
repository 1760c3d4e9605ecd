"""A scene that shows nothing does not hold."""

from dataclasses import replace
from datetime import UTC, datetime

from delivery.domain.message import ATTEMPTS_MAX
from testkit.checker.history import Arrival, History, Run
from testkit.checker.invariants import sends

from tests.faults.scene import ARRIVALS_MIN, Scene, shows_nothing
from tests.faults.scenes.sinks import SCENES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAME = Arrival(NOON, "webhook", "m", True, "accepted", "c")
HANGS: Scene = next(one for one in SCENES if one.name == "sink-hangs")


def history(*arrivals: Arrival) -> History:
    return History(Run("scene", 1, NOON, NOON), arrivals=arrivals)


def test_what_came_and_met_the_fault_shows_something() -> None:
    hung = replace(CAME, accepted=False, outcome="hung")

    assert shows_nothing(HANGS, history(*[CAME] * ARRIVALS_MIN, hung)) is None


def test_a_scene_in_which_hardly_anything_comes_shows_nothing() -> None:
    told = shows_nothing(replace(HANGS, shows=lambda _: True), history(*[CAME] * (ARRIVALS_MIN - 1)))

    assert told == f"only {ARRIVALS_MIN - 1} messages came, not {ARRIVALS_MIN}: nothing is shown"


def test_a_scene_whose_sink_did_not_do_what_it_was_told_shows_nothing() -> None:
    told = shows_nothing(HANGS, history(*[CAME] * ARRIVALS_MIN))

    assert told == "the fault has not taken hold: nothing is shown"


def test_the_checker_knows_after_how_many_attempts_a_message_is_given_up() -> None:
    assert sends.ATTEMPTS_MAX == ATTEMPTS_MAX
