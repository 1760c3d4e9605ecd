"""Every scene, by name, in the order in which they are played: what replays the topics comes while they are short."""

from collections.abc import Mapping
from typing import Final

from tests.faults.scene import Scene
from tests.faults.scenes import broker, clocks, database, freezing, kills, load, network, records, sinks, soak, stops

GROUPS: Final[Mapping[str, tuple[Scene, ...]]] = {
    "records": records.SCENES,
    "kills": kills.SCENES,
    "freezing": freezing.SCENES,
    "stops": stops.SCENES,
    "sinks": sinks.SCENES,
    "network": network.SCENES,
    "load": load.SCENES,
    "clocks": clocks.SCENES,
    "broker": broker.SCENES,
    "database": database.SCENES,
    "everything": soak.SCENES,
}
SCENES: Final[Mapping[str, Scene]] = {one.name: one for group in GROUPS.values() for one in group}
CI: Final = ("kill-after-send", "freeze-before-first-byte", "postgres-restart")
"""The short selection that every run of the tests plays."""
