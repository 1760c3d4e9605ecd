"""What scenes strike and plant is still there in the product; otherwise they would break nothing, and prove nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from testkit.checker import INVARIANTS

from tests.faults.inject.plants import PLANTS
from tests.faults.inject.points import POINTS
from tests.faults.planted import PLANTED
from tests.faults.scenes import CI, GROUPS, SCENES
from tests.faults.scenes.kills import ROLES

ROOT: Final = Path(__file__).parents[2]
INSTALL: Final = """
from tests.faults.inject import plants, points
for name, (roles, plant) in plants.PLANTS.items():
    plant()
for role in ("sequences-run", "enrollment-run", "delivery-plan", "delivery-send", "console-run"):
    points.install(role)
"""


def test_every_point_and_plant_finds_what_it_holds_on_to() -> None:
    done = subprocess.run([sys.executable, "-c", INSTALL], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_scene_has_a_name_of_its_own() -> None:
    assert len(SCENES) == sum(map(len, GROUPS.values()))
    assert set(CI) <= SCENES.keys()


def test_every_plant_has_a_fault_and_every_point_is_known() -> None:
    assert PLANTED.keys() == PLANTS.keys()
    assert ROLES.keys() <= POINTS.keys()


def test_each_promise_is_broken_by_a_plant() -> None:
    broken = {one.invariant for one in PLANTED.values()}

    assert broken == INVARIANTS.keys()
