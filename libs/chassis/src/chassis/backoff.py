"""How long to wait before trying again."""

import random
from collections.abc import Iterator


def delays(base: float, cap: float) -> Iterator[float]:
    """Endless waits in seconds: doubling from `base` up to `cap`, each shortened at random by up to half.

    The jitter keeps processes that lost the same server from coming back in step.
    """
    if not 0 < base <= cap:
        raise ValueError("0 < base <= cap must hold")
    ceiling = base
    while True:
        yield ceiling * random.uniform(0.5, 1.0)
        ceiling = min(cap, ceiling * 2)
