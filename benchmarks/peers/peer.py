"""What a peer is: how it is measured, with which settings, and what Sluice's senders must reach beside it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devstack.stack import Stack
from rich.console import Console

from benchmarks.figures import Figure

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """One line of the table. Each of its settings is tried once before the turns, and the fastest is what counts."""

    figure: Figure
    name: str
    jobs: int
    """Fewer for a slow one: only its rate counts."""
    settings: tuple[Settings, ...]
    measure: Callable[[Stack, Console, list[bytes], Settings], Awaitable[float]]
    """Puts the messages into its queue, and says how many a second are finished, from the word to begin to the last."""
    found: Callable[[Console], str] | None = None
    """Says which version it has of what is not pinned here: the machine's own compiler or server."""
    asides: tuple[Settings, ...] = ()
    """What of the fastest settings is changed, one after the other; measured once each, and none of it counts."""
