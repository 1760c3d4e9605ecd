"""A small service as a process of its own, for tests that kill it: its handler writes one row for each command.

Told by the environment: SLUICE_DATABASE (address), SLUICE_KAFKA (JSON list), SLUICE_DIE_AFTER (it kills itself right
after so many of its batches have committed, before Kafka hears of it; 0 = never).
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import orjson
from chassis.health import Health
from chassis.pool import create_pool
from chassis.settings import ServiceSettings
from messaging import Service
from messaging.pipeline import Pipeline
from messaging.routes import TopicRoutes
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from libs.messaging.tests.bench import NAME, Recorder, commands_only


class Dying(Pipeline):
    """Dies between the database's commit and Kafka's."""

    commits = 0
    die_after = 0

    async def _transact(self, routes: TopicRoutes, *arguments: Any) -> dict[int, int]:
        moved = await super()._transact(routes, *arguments)
        type(self).commits += 1
        if type(self).commits == self.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved


async def main() -> None:
    """Run until SIGTERM."""
    url = SecretStr(os.environ["SLUICE_DATABASE"])
    kafka: Sequence[str] = orjson.loads(os.environ["SLUICE_KAFKA"])
    settings = ServiceSettings(database_url=url, kafka_bootstrap_servers=list(kafka))
    pool = await create_pool(settings, schema=NAME)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    service = Service(
        routes=commands_only(Recorder()), pool=pool, kafka=kafka, health=Health(registry=CollectorRegistry())
    )
    Dying.die_after = int(os.environ["SLUICE_DIE_AFTER"])
    service.pipeline = Dying(NAME, NAME, pool)
    for reader in service._readers:
        reader._pipeline = service.pipeline
    await service.run(stop)
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main())
