"""The tables of cases are played as a person plays them: `make cases`."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 600


def test_every_case_is_seen_as_expected() -> None:
    played = subprocess.run(
        [sys.executable, "-m", "testkit.cases"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert played.returncode == 0, played.stdout[-20_000:] + played.stderr[-2_000:]
