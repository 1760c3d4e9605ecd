"""The relay of bulk, alone."""

import asyncio
import signal

from chassis.health import Health
from chassis.pool import create_pool
from chassis.settings import ServiceSettings
from messaging.outbox import BULK
from messaging.relay import Relay
from pydantic import SecretStr

from benchmarks.loops.process import told
from benchmarks.ratios.rows import SCHEMA


async def main() -> None:
    """Until it is told to stop."""
    settings = told()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = ServiceSettings(database_url=SecretStr(settings["database"]), kafka_bootstrap_servers=settings["kafka"])
    async with await create_pool(database, schema=SCHEMA) as pool:
        await Relay(pool, kafka=settings["kafka"], lane=BULK, health=Health()).run(stop)


if __name__ == "__main__":
    asyncio.run(main())
