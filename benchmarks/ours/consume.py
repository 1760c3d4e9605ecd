"""A service whose only handler writes one row for each event, with all that a service is: inbox, offsets, relay."""

import asyncio
import os
import signal

from chassis import logging
from chassis.health import Health
from chassis.pool import create_pool
from chassis.settings import ServiceSettings
from messaging import Batch, Routes, Service, Tx
from pydantic import SecretStr
from sluice_contracts.delivery import MessageSent

from benchmarks.loops.process import told
from benchmarks.ratios.rows import INSERT, SCHEMA


async def write(sent: Batch[MessageSent], tx: Tx) -> None:
    """One statement per batch."""
    await tx.conn.fetch(
        INSERT,
        [message.cause.id for message in sent],
        [message.data.contact_id for message in sent],
        [message.data.sequence_id for message in sent],
        [message.data.step_id for message in sent],
    )


async def main() -> None:
    """Until it is told to stop."""
    settings = told()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    routes = Routes(SCHEMA)
    routes.on(MessageSent, write)
    logging.configure("bench", os.environ.get("SLUICE_LOG_LEVEL", "info"))
    database = ServiceSettings(database_url=SecretStr(settings["database"]), kafka_bootstrap_servers=settings["kafka"])
    async with await create_pool(database, schema=SCHEMA) as pool:
        await Service(routes=routes, pool=pool, kafka=settings["kafka"], health=Health()).run(stop)


if __name__ == "__main__":
    asyncio.run(main())
