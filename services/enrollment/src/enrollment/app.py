"""The composition root: settings become a pool, routes, a service and its loops."""

from typing import Final

from chassis import logging
from chassis.drain import run_until_stopped
from chassis.health import Health
from chassis.migrate import migrate as apply_migrations
from chassis.migrate import require
from chassis.pool import create_pool
from chassis.settings import MigrationSettings
from messaging import MIGRATIONS as MESSAGING
from messaging import Service

from enrollment import loops, routes
from enrollment.settings import MIGRATIONS, SCHEMA, EnrollmentSettings

FILES: Final = (MESSAGING, MIGRATIONS)


async def run(settings: EnrollmentSettings) -> None:
    """Serve until SIGTERM or SIGINT; SystemExit(1) where a loop failed."""
    logging.configure(SCHEMA, settings.log_level)
    health = Health()
    health.ready("kafka", False)
    async with await create_pool(settings, schema=SCHEMA) as pool:
        await require(pool, SCHEMA, FILES)
        service = Service(routes=routes.build(), pool=pool, kafka=settings.kafka_bootstrap_servers, health=health)
        async with health.serve(settings.health_host, settings.health_port):
            await run_until_stopped(
                service.run,
                *loops.build(service, settings, health),
                drain_seconds_max=settings.drain_seconds_max,
            )


async def migrate(settings: MigrationSettings) -> list[str]:
    """Bring the schema to the newest version; the names of the files that were applied."""
    return await apply_migrations(settings.migration_url.get_secret_value(), SCHEMA, FILES)
