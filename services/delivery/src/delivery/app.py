"""The composition root: settings become a pool, and the processes that share its schema."""

import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chassis import logging
from chassis.clock import new_id
from chassis.drain import run_until_stopped
from chassis.health import Health
from chassis.migrate import migrate as apply_migrations
from chassis.migrate import require
from chassis.pool import Pool, create_pool
from chassis.settings import MigrationSettings, SettingsFault
from messaging import MIGRATIONS as MESSAGING
from messaging import Service
from messaging.pipeline import Pipeline

from delivery import loops
from delivery.channels.registry import build, rates, rooms
from delivery.channels.settings import ChannelSettings
from delivery.loops.control import Control
from delivery.loops.listener import Listener
from delivery.loops.receiver import Receiver, ReceiverSecrets
from delivery.loops.sender import Sender, SendLimits
from delivery.routes import routes
from delivery.settings import MIGRATIONS, SCHEMA, DeliverySettings

SOURCE: Final = "delivery"
FILES: Final = (MESSAGING, MIGRATIONS)


async def plan(settings: DeliverySettings) -> None:
    """Hear, plan, halt and publish until SIGTERM or SIGINT; SystemExit(1) where a loop failed."""
    async with _process(settings, "plan") as (pool, health):
        health.ready("kafka", False)
        service = Service(routes=routes(), pool=pool, kafka=settings.kafka_bootstrap_servers, health=health)
        listener = Listener(pool, health=health)
        await run_until_stopped(
            service.run,
            listener.run,
            *loops.build(
                service,
                health,
                halt_wait_seconds=settings.halt_wait_seconds,
                unknown_wait_seconds=settings.unknown_wait_seconds,
                breaker=settings.breaker_limits,
                listener=listener,
            ),
            drain_seconds_max=settings.drain_seconds_max,
        )


async def send(settings: DeliverySettings, channels: ChannelSettings) -> None:
    """Send what is due until SIGTERM or SIGINT; what has left is finished, what has not is given back."""
    limits = SendLimits(
        settings.lease_seconds_max,
        channels.send_seconds_max,
        settings.lease_margin_seconds,
        settings.unknown_wait_seconds,
    )
    if limits.start_seconds_max <= 0:
        raise SettingsFault(
            "SLUICE_LEASE_SECONDS_MAX must be longer than SLUICE_SEND_SECONDS_MAX and SLUICE_LEASE_MARGIN_SECONDS "
            "together"
        )
    async with _process(settings, "send") as (pool, health):
        control = Control(pool, staleness_seconds_max=settings.gate_staleness_seconds_max, health=health)
        sender = Sender(
            pool,
            source=SOURCE,
            owner=f"{platform.node()}:{os.getpid()}:{new_id()[:8]}",
            channels=build(channels),
            rooms=rooms(channels),
            rates=rates(channels),
            control=control,
            limits=limits,
            health=health,
        )
        await run_until_stopped(control.run, sender.run, drain_seconds_max=settings.drain_seconds_max)


async def receive(settings: DeliverySettings) -> None:
    """Take reports, replies and opt-outs until SIGTERM or SIGINT. `plan` publishes what follows from them."""
    async with _process(settings, "receive") as (pool, health):
        receiver = Receiver(
            Pipeline(SCHEMA, SOURCE, pool, guarded=True),
            host=settings.receive_host,
            port=settings.receive_port,
            secrets=ReceiverSecrets(
                whatsapp_app=settings.whatsapp_app_secret,
                whatsapp_verify_token=settings.whatsapp_verify_token,
                report=settings.report_secret,
                unsubscribe=settings.unsubscribe_secret,
            ),
            health=health,
        )
        await run_until_stopped(receiver.run, drain_seconds_max=settings.drain_seconds_max)


async def migrate(settings: MigrationSettings) -> list[str]:
    """Bring the schema to the newest version; the names of the files that were applied."""
    return await apply_migrations(settings.migration_url.get_secret_value(), SCHEMA, FILES)


@asynccontextmanager
async def _process(settings: DeliverySettings, name: str) -> AsyncIterator[tuple[Pool, Health]]:
    logging.configure(f"{SCHEMA}-{name}", settings.log_level)
    health = Health()
    async with await create_pool(settings, schema=SCHEMA, application=f"{SCHEMA}-{name}") as pool:
        await require(pool, SCHEMA, FILES)
        async with health.serve(settings.health_host, settings.health_port):
            yield pool, health
