"""Faults from outside, in service processes whose PYTHONPATH leads here. Nothing of the product knows of this file."""

import os
import sys
from pathlib import Path

if "SLUICE_FAULTS" in os.environ and sys.orig_argv[1:2] == ["-m"] and len(sys.orig_argv) == 4:
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from tests.faults.inject import clocks, plants, points, ways

    role = "-".join(sys.orig_argv[2:])
    ways.lead(role)
    clocks.install(role)
    plants.install(role)
    points.install(role)
