"""Kafka: restarted, killed."""

import signal
from typing import Final

from chassis.clock import sleep

from tests.faults.scene import Play, Scene


async def restarted(play: Play) -> None:
    """Stopped in order, and back."""
    play.stage.kill("kafka", signal.SIGTERM)
    await sleep(2.0)
    await play.stage.ready("kafka")


async def killed(play: Play) -> None:
    """kill -9."""
    play.stage.kill("kafka", signal.SIGKILL)
    await sleep(2.0)
    await play.stage.ready("kafka")


async def frozen(play: Play) -> None:
    """SIGSTOP for longer than its clients' patience: nobody hears a stop."""
    await play.fill()
    async with play.stage.silence("Kafka stood still"):
        await play.stage.freeze("kafka", 9.0)


SCENES: Final = (
    Scene("kafka-restart", "Kafka is restarted", restarted, load_seconds=12.0),
    Scene("kafka-killed", "kill -9 of Kafka", killed, load_seconds=12.0),
    Scene("kafka-frozen", "SIGSTOP of Kafka for 9 s", frozen, load_seconds=13.0),
)
