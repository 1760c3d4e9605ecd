"""Many of the other scenes' faults, one after the other, for minutes."""

from collections.abc import Mapping
from typing import Final

from chassis.clock import sleep

from tests.faults.scene import Fault, Play, Scene
from tests.faults.scenes import broker, clocks, database, freezing, kills, load, network, records, sinks
from tests.faults.stage import KAFKA, POSTGRES, SINKS

LOAD_SECONDS: Final = 300.0
TIMES: Final = 24
FAULTS: Final[Mapping[str, Fault]] = {
    "kill at random": kills.at_random,
    "kill all": kills.all_at_once,
    "kill after a send": kills.at_point("after-send"),
    "rolling stops": kills.rolling,
    "freeze briefly": freezing.briefly,
    "freeze senders": freezing.senders_beyond_their_lease,
    "senders scaled": load.senders,
    "clocks apart": clocks.apart,
    "Postgres restarted": database.restarted,
    "Postgres killed": database.killed,
    "sessions ended": database.terminated,
    "statements cancelled": database.cancelled,
    "no connections": database.exhausted,
    "Kafka restarted": broker.restarted,
    "Kafka killed": broker.killed,
    "Kafka cut off": network.link(*KAFKA, mode="cut", seconds=4),
    "Postgres cut off": network.link(*POSTGRES, mode="cut", seconds=3),
    "sinks cut off": network.link(*SINKS, mode="cut", seconds=3),
    "sinks refuse": sinks.rule("refuse", share=0.1),
    "sinks drop answers": sinks.rule("accept_and_drop_answer"),
    "all again": records.written_again,
}


async def one_after_the_other(play: Play) -> None:
    """Each at least once, in an order by the seed; each is over before the next."""
    order = [*FAULTS, *play.chance.choices([*FAULTS], k=TIMES - len(FAULTS))]
    play.chance.shuffle(order)
    for name in order:
        play.stage.told.append(name)
        await FAULTS[name](play)
        await play.stage.heal()
        await sleep(play.chance.uniform(1.0, 6.0))


SCENES: Final = (
    Scene(
        "soak",
        f"{TIMES} faults of {len(FAULTS)} kinds, one after the other, for {LOAD_SECONDS:.0f} s or more, under a fifth "
        "of the load",
        one_after_the_other,
        load_seconds=LOAD_SECONDS,
        pace=0.2,
    ),
)
