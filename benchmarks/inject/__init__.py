"""What a benchmark changes inside service processes. Chosen by SLUICE_BENCH_INJECT; the product knows nothing of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


def env(what: str) -> Mapping[str, str]:
    """The environment of a process in which `what` is changed."""
    return {"PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)]), "SLUICE_BENCH_INJECT": what}
