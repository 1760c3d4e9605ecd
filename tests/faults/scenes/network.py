"""The network between services and Kafka, Postgres and sinks."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from chassis.clock import sleep, utc_now
from testkit.checker.history import Span
from testkit.proxy import Mode

from tests.faults.scene import Play, Scene
from tests.faults.stage import KAFKA, POSTGRES, SINKS

STALENESS_AND_MORE_SECONDS: Final = 9.0
SINK_LAG_SECONDS: Final = 5.0
SENDING_SECONDS_MAX: Final = 10.0
ALONE_SECONDS: Final = 5.0
UNHEARD_AND_MORE_SECONDS: Final = 13.0
"""Longer than either end of a connection to Postgres waits for the other."""


def link(
    *names: str, mode: Mode, seconds: float, late: float = 0.0, deaf: str = ""
) -> Callable[[Play], Awaitable[None]]:
    """These links are in this mode for some seconds; `deaf` where no stop can be heard meanwhile."""

    async def fault(play: Play) -> None:
        await sending(play)
        if deaf:
            await play.fill()
        async with AsyncExitStack() as exits:
            for name in names:
                await play.stage.network.set(name, mode, seconds=late)
            if deaf:
                await exits.enter_async_context(play.stage.silence(deaf))
            await sleep(seconds)
        await well(play, *names)

    return fault


async def sending(play: Play) -> None:
    """Wait until senders have connections to both sinks: before that there is nothing to lose."""
    sent = "select count(distinct channel) from delivery.message where outcome = 'sent' and sequence_id like $1 || '%'"
    async with asyncio.timeout(SENDING_SECONDS_MAX):
        while await play.stage.conn.fetchval(sent, play.workload.prefix) < len(SINKS):
            await sleep(0.1)


async def well(play: Play, *names: str) -> None:
    """Let these links pass all again; AssertionError where the fault of one of them met nothing."""
    met = {name: await play.stage.network.set(name, "pass") for name in names}
    play.stage.told.append("met at " + ", ".join(f"{name} {count}" for name, count in met.items()))
    assert all(met.values()), f"the fault has met nothing at {', '.join(one for one in met if not met[one])}"


def sinks_hold(*, mode: Mode, seconds: float, late: float = 0.0) -> Callable[[Play], Awaitable[None]]:
    """What leaves for the sinks comes late; everything is paused meanwhile, until whatever was held back has come."""

    async def fault(play: Play) -> None:
        await sending(play)
        since = utc_now()
        for name in SINKS:
            await play.stage.network.set(name, mode, seconds=late)
        await sleep(1.0)
        await play.pause_all()
        await sleep(seconds - 1.0)
        await well(play, *SINKS)
        play.stage.held += [Span(name, since, utc_now()) for name in SINKS]
        await sleep(SINK_LAG_SECONDS + 2.0)
        await play.resume_all()

    return fault


ALONE: Final = {
    "kafka-sequences": "the service of sequences alone cannot reach Kafka",
    "kafka-enrollment": "enrollment alone cannot reach Kafka",
    "kafka-console": "the console alone cannot reach Kafka",
    "postgres-sequences": "the service of sequences alone cannot reach its database",
    "sink-http": "senders cannot reach the sink of webhooks",
    "sink-smtp": "senders cannot reach the sink of mails",
}
"""The links that are cut by themselves, but for those of which a scene asks more."""
SCENES: Final = (
    Scene(
        "net-kafka-cut",
        "services cannot reach Kafka for 9 s: sending stops by itself",
        link(*KAFKA, mode="cut", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka was cut off"),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-held",
        "connections to Kafka stand and nothing passes for 9 s",
        link(*KAFKA, mode="hold", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka did not answer"),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-mute",
        "Kafka hears, and its answers do not come, for 9 s",
        link(*KAFKA, mode="mute", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka's answers did not come"),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-slow",
        "each piece to and from Kafka is 150 ms late",
        link(*KAFKA, mode="slow", seconds=6, late=0.15),
    ),
    Scene("net-kafka-drip", "Kafka's bytes come 128 at a time", link(*KAFKA, mode="drip", seconds=6)),
    Scene(
        "net-kafka-long",
        "services cannot reach Kafka for 45 s, longer than every time-out of theirs",
        link(*KAFKA, mode="hold", seconds=45, deaf="Kafka did not answer"),
        load_seconds=48.0,
    ),
    Scene(
        "net-kafka-planner",
        "the planner alone cannot reach Kafka for 9 s: it hears no stop, so sending stops",
        link(
            "kafka-delivery-plan",
            mode="cut",
            seconds=STALENESS_AND_MORE_SECONDS,
            deaf="the planner was cut off from Kafka",
        ),
        load_seconds=13.0,
    ),
    Scene(
        "net-kafka-half-open",
        "every connection to Kafka is half open from one moment on, and new ones come about after 9 s",
        link(*KAFKA, mode="lose", seconds=STALENESS_AND_MORE_SECONDS, deaf="Kafka was lost"),
        load_seconds=13.0,
    ),
    Scene("net-postgres-cut", "services cannot reach Postgres for 4 s", link(*POSTGRES, mode="cut", seconds=4)),
    Scene(
        "net-postgres-held",
        "connections to Postgres stand for 5 s",
        link(*POSTGRES, mode="hold", seconds=5),
        booking_lag_seconds=8.0,
    ),
    Scene(
        "net-postgres-mute",
        "Postgres hears, and its answers do not come, for 5 s",
        link(*POSTGRES, mode="mute", seconds=5),
        booking_lag_seconds=8.0,
    ),
    Scene(
        "net-postgres-slow",
        "each piece to and from delivery's Postgres is 50 ms late",
        link("postgres-delivery-plan", "postgres-delivery-send", mode="slow", seconds=6, late=0.05),
        booking_lag_seconds=3.0,
    ),
    Scene(
        "net-postgres-one",
        "enrollment alone cannot reach its database for 5 s",
        link("postgres-enrollment", mode="cut", seconds=5),
    ),
    Scene(
        "net-postgres-senders",
        "senders alone cannot reach Postgres for 9 s: they hear no stop, so they cease",
        link(
            "postgres-delivery-send",
            mode="cut",
            seconds=STALENESS_AND_MORE_SECONDS,
            deaf="senders were cut off from Postgres",
        ),
        load_seconds=13.0,
    ),
    Scene(
        "net-postgres-planner",
        "the planner alone cannot reach Postgres for 9 s: what it hears it can tell nobody, so sending stops",
        link(
            "postgres-delivery-plan",
            mode="cut",
            seconds=STALENESS_AND_MORE_SECONDS,
            deaf="the planner was cut off from Postgres",
        ),
        load_seconds=13.0,
    ),
    Scene(
        "net-postgres-console",
        "the console alone cannot reach its database for 5 s",
        link("postgres-console", mode="cut", seconds=5),
    ),
    Scene(
        "net-postgres-half-open",
        "every connection to Postgres is half open from one moment on, and new ones come about after 13 s",
        link(*POSTGRES, mode="lose", seconds=UNHEARD_AND_MORE_SECONDS, deaf="Postgres was lost"),
        load_seconds=16.0,
    ),
    Scene(
        "net-postgres-drip",
        "Postgres' bytes come 128 at a time",
        link(*POSTGRES, mode="drip", seconds=6),
        booking_lag_seconds=3.0,
    ),
    *(
        Scene(f"net-cut-{name}", f"{what} for {ALONE_SECONDS:.0f} s", link(name, mode="cut", seconds=ALONE_SECONDS))
        for name, what in ALONE.items()
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
        "net-sink-half-open",
        "every connection to the sinks is half open from one moment on, and new ones come about after 4 s",
        link(*SINKS, mode="lose", seconds=4),
    ),
    Scene(
        "net-sink-slow",
        "each piece to and from the sinks is 200 ms late",
        sinks_hold(mode="slow", seconds=5, late=0.2),
        sink_lag_seconds=SINK_LAG_SECONDS,
    ),
    Scene(
        "net-sink-drip",
        "the sinks' bytes come 128 at a time",
        sinks_hold(mode="drip", seconds=5),
        sink_lag_seconds=SINK_LAG_SECONDS,
    ),
)
