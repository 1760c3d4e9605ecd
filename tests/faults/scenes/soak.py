"""Many of the other scenes' faults, one after the other, for minutes."""

from typing import Final

from chassis.clock import sleep

from tests.faults.scene import Fault, Play, Scene
from tests.faults.scenes import broker, database, freezing, kills, load

LOAD_SECONDS: Final = 300.0
TIMES: Final = 20
FAULTS: Final[tuple[Fault, ...]] = (
    kills.at_random,
    kills.all_at_once,
    kills.rolling,
    freezing.briefly,
    freezing.senders_beyond_their_lease,
    load.senders,
    database.restarted,
    database.killed,
    database.terminated,
    database.cancelled,
    broker.restarted,
    broker.killed,
)


async def one_after_the_other(play: Play) -> None:
    """By the seed; each is over before the next."""
    for fault in play.chance.choices(FAULTS, k=TIMES):
        play.stage.told.append(fault.__name__)
        await fault(play)
        await play.stage.heal()
        await sleep(play.chance.uniform(1.0, 6.0))


SCENES: Final = (
    Scene(
        "soak",
        f"{TIMES} faults in {LOAD_SECONDS:.0f} s, one after the other, under a fifth of the load",
        one_after_the_other,
        load_seconds=LOAD_SECONDS,
        pace=0.2,
    ),
)
