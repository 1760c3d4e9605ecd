"""The composition root: settings become pools, routes, a service, its loops and the HTTP API."""

from typing import Final

import asyncpg
from chassis import logging
from chassis.drain import run_until_stopped
from chassis.health import Health
from chassis.migrate import migrate as apply_migrations
from chassis.migrate import require
from chassis.pool import connection_settings, create_pool, reaching
from chassis.settings import MigrationSettings
from messaging import MIGRATIONS as MESSAGING
from messaging import Service

from console import loops, routes
from console.api.server import create
from console.settings import MIGRATIONS, SCHEMA, ConsoleSettings
from console.store import build

CONNECT_SECONDS_MAX: Final = 10.0
FILES: Final = (MESSAGING, MIGRATIONS)


async def run(settings: ConsoleSettings) -> None:
    """Hear and answer until SIGTERM or SIGINT; SystemExit(1) where a loop failed."""
    logging.configure(SCHEMA, settings.log_level)
    health = Health()
    health.ready("kafka", False)
    few = settings.model_copy(update={"database_pool_max": settings.answering_pool_max})
    async with (
        await create_pool(settings, schema=SCHEMA) as pool,
        await create_pool(few, schema=SCHEMA, application="console-api") as answering_pool,
    ):
        await require(pool, SCHEMA, FILES)
        async with pool.acquire() as conn:
            await build.ensure(conn)
            built_at = await build.built_at(conn)
        service = Service(routes=routes.build(), pool=pool, kafka=settings.kafka_bootstrap_servers, health=health)
        answering = loops.Answering(
            create(loops.Snapshots(answering_pool)),
            host=settings.console_host,
            port=settings.console_port,
            health=health,
        )
        async with health.serve(settings.health_host, settings.health_port):
            await run_until_stopped(
                service.run,
                answering,
                loops.erasing(service, health),
                loops.RebuildWatch(answering_pool, health, built_at=built_at),
                drain_seconds_max=settings.drain_seconds_max,
            )


async def migrate(settings: MigrationSettings) -> list[str]:
    """Bring the schema to the newest version; the names of the files that were applied."""
    return await apply_migrations(settings.migration_url.get_secret_value(), SCHEMA, FILES)


async def rebuild(settings: MigrationSettings) -> None:
    """Drop the read model and its offsets at once; what runs notices, ends, and reads anew when it is started."""
    url = settings.migration_url.get_secret_value()
    with reaching(url):
        conn = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS_MAX, server_settings=connection_settings(SCHEMA, "console-rebuild")
        )
    try:
        await require(conn, SCHEMA, FILES)
        async with conn.transaction():
            await build.drop(conn)
            await build.ensure(conn)
    finally:
        await conn.close(timeout=CONNECT_SECONDS_MAX)
