"""The network between services and Kafka, Postgres and sinks."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from chassis.clock import sleep, utc_now
from testkit.checker.history import Span
from testkit.proxy import Mode

from tests.faults.scene import Play, Scene
from tests.faults.scenes.freezing import pause_all, resume_all

STALENESS_AND_MORE_SECONDS: Final = 9.0
SINK_LAG_SECONDS: Final = 5.0


def link(
    *names: str, mode: Mode, seconds: float, late: float = 0.0, deaf: str = ""
) -> Callable[[Play], Awaitable[None]]:
    """These links are in this mode for some seconds; `deaf` where no stop can be heard meanwhile."""

    async def fault(play: Play) -> None:
        if deaf:
            await play.fill()
        async with AsyncExitStack() as exits:
            for name in names:
                await play.stage.network.set(name, mode, seconds=late)
            if deaf:
                await exits.enter_async_context(play.stage.silence(deaf))
            await sleep(seconds)
        for name in names:
            await play.stage.network.set(name, "pass")

    return fault


def sinks_hold(*, mode: Mode, seconds: float, late: float = 0.0) -> Callable[[Play], Awaitable[None]]:
    """What leaves for the sinks comes late; everything is paused meanwhile, until whatever was held back has come."""

    async def fault(play: Play) -> None:
        since = utc_now()
        for name in SINKS:
            await play.stage.network.set(name, mode, seconds=late)
        await sleep(1.0)
        await pause_all(play)
        await sleep(seconds - 1.0)
        for name in SINKS:
            await play.stage.network.set(name, "pass")
        play.stage.held += [Span(name, since, utc_now()) for name in SINKS]
        await sleep(SINK_LAG_SECONDS + 2.0)
        await resume_all(play)

    return fault


DATABASES: Final = ("postgres-sequences", "postgres-enrollment", "postgres-delivery")
SINKS: Final = ("sink-http", "sink-smtp")

SCENES: Final = (
    Scene(
        "net-kafka-cut",
        "services cannot reach Kafka for 9 s: sending stops by itself",
        link("kafka", mode="cut", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka was cut off"),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-held",
        "connections to Kafka stand and nothing passes for 9 s",
        link("kafka", mode="hold", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka did not answer"),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-mute",
        "Kafka hears, and its answers do not come, for 9 s",
        link("kafka", mode="mute", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka's answers did not come"),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-slow",
        "each piece to and from Kafka is 150 ms late",
        link("kafka", mode="slow", seconds=6, late=0.15),
    ),
    Scene("net-kafka-drip", "Kafka's bytes come 512 at a time", link("kafka", mode="drip", seconds=6)),
    Scene(
        "net-kafka-long",
        "services cannot reach Kafka for 45 s, longer than every time-out of theirs",
        link("kafka", mode="hold", seconds=45, deaf="Kafka did not answer"),
        load_seconds=48.0,
    ),
    Scene("net-postgres-cut", "services cannot reach Postgres for 4 s", link(*DATABASES, mode="cut", seconds=4)),
    Scene(
        "net-postgres-held",
        "connections to Postgres stand for 5 s",
        link(*DATABASES, mode="hold", seconds=5),
        booking_lag_seconds=8.0,
    ),
    Scene(
        "net-postgres-mute",
        "Postgres hears, and its answers do not come, for 5 s",
        link(*DATABASES, mode="mute", seconds=5),
        booking_lag_seconds=8.0,
    ),
    Scene(
        "net-postgres-slow",
        "each piece to and from delivery's Postgres is 50 ms late",
        link("postgres-delivery", mode="slow", seconds=6, late=0.05),
        booking_lag_seconds=3.0,
    ),
    Scene(
        "net-postgres-one",
        "enrollment alone cannot reach its database for 5 s",
        link("postgres-enrollment", mode="cut", seconds=5),
    ),
    Scene("net-sink-cut", "senders cannot reach the sinks for 3 s", link(*SINKS, mode="cut", seconds=3)),
    Scene(
        "net-sink-held",
        "connections to the sinks stand for 4 s",
        sinks_hold(mode="hold", seconds=4),
        sink_lag_seconds=SINK_LAG_SECONDS,
    ),
    Scene(
        "net-sink-mute", "the sinks hear, and their answers do not come, for 4 s", link(*SINKS, mode="mute", seconds=4)
    ),
    Scene(
        "net-sink-slow",
        "each piece to and from the sinks is 200 ms late",
        sinks_hold(mode="slow", seconds=5, late=0.2),
        sink_lag_seconds=SINK_LAG_SECONDS,
    ),
    Scene(
        "net-sink-drip",
        "the sinks' bytes come 512 at a time",
        sinks_hold(mode="drip", seconds=5),
        sink_lag_seconds=SINK_LAG_SECONDS,
    ),
)
