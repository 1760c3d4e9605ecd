"""Kafka: restarted, killed; one of three brokers killed."""

import signal
from contextlib import suppress
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from chassis.clock import monotonic, sleep
from devstack.programs import BROKERS
from devstack.stack import StackError
from sluice_contracts import topics

from tests.faults.scene import Play, Scene

GONE_SECONDS: Final = 10.0
"""Longer than it takes until others lead."""


async def restarted(play: Play) -> None:
    """Stopped in order, and back."""
    await play.stage.restart("kafka", number=signal.SIGTERM)


async def killed(play: Play) -> None:
    """kill -9."""
    await play.stage.restart("kafka", number=signal.SIGKILL)


async def frozen(play: Play) -> None:
    """SIGSTOP for longer than its clients' patience: nobody hears a stop."""
    await play.fill()
    async with play.stage.silence("Kafka stood still"):
        await play.stage.freeze("kafka", 9.0)


async def leader_killed(play: Play) -> None:
    """kill -9 of the broker that leads `enrollment.control`, whenever it is started again; then it comes back."""
    await play.fill()
    leader = await leader_of(play.stage.stack.addresses.kafka, topics.ENROLLMENT_CONTROL)
    deadline = monotonic() + GONE_SECONDS
    while monotonic() < deadline:
        with suppress(StackError):  # not there: it is being started
            play.stage.kill(leader, signal.SIGKILL)
        await sleep(0.2)
    assert await leader_of(play.stage.stack.addresses.kafka, topics.ENROLLMENT_CONTROL) != leader
    await play.stage.ready(leader)


async def leader_of(kafka: list[str], topic: str) -> str:
    """The broker that leads a topic's first partition, as the stack names it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return BROKERS[next(one["leader"] for one in described["partitions"] if one["partition"] == 0) - 1]


SCENES: Final = (
    Scene("kafka-restart", "Kafka is restarted", restarted, load_seconds=12.0),
    Scene("kafka-killed", "kill -9 of Kafka", killed, load_seconds=12.0),
    Scene("kafka-frozen", "SIGSTOP of Kafka for 9 s", frozen, load_seconds=13.0),
    Scene(
        "kafka-leader-killed",
        f"three brokers: kill -9 of the one that leads enrollment.control, which is gone for {GONE_SECONDS:.0f} s",
        leader_killed,
        load_seconds=16.0,
        brokers=len(BROKERS),
    ),
)
