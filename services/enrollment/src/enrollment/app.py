"""The composition root: settings become a pool, a service and its loops."""

from chassis.drain import run_until_stopped
from chassis.health import Health
from chassis.logging import configure
from chassis.migrate import migrate as apply
from chassis.pool import create_pool
from messaging import MIGRATIONS, Service

from enrollment.loops import ErasureLoop, ParkedLoop
from enrollment.routes import build_routes
from enrollment.settings import EnrollmentSettings

SCHEMA = "enrollment"


async def run(settings: EnrollmentSettings) -> None:
    """Read, decide and publish until the process is told to stop. Raises SystemExit(1) where a loop crashed."""
    configure(SCHEMA, settings.log_level)
    health = Health()
    pool = await create_pool(settings, schema=SCHEMA)
    try:
        service = Service(routes=build_routes(), pool=pool, kafka=settings.kafka_bootstrap_servers, health=health)
        parked = ParkedLoop(service, health, parked_seconds_max=settings.parked_seconds_max)
        erasure = ErasureLoop(service, health)
        async with health.serve(settings.health_host, settings.health_port):
            await run_until_stopped(service.run, parked.run, erasure.run, drain_seconds_max=settings.drain_seconds_max)
    finally:
        pool.terminate()


async def migrate(settings: EnrollmentSettings) -> None:
    """Bring the schema to the newest version."""
    configure(SCHEMA, settings.log_level)
    url = settings.migration_url or settings.database_url
    await apply(url.get_secret_value(), SCHEMA, [MIGRATIONS, settings.migrations_dir])
