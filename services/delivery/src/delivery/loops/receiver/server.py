"""One HTTP server for all of it."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web
from chassis.health import Health
from messaging.pipeline import Pipeline
from pydantic import SecretStr

from delivery.loops.receiver.bounces import Bounces
from delivery.loops.receiver.reports import Reports
from delivery.loops.receiver.taking import Taking
from delivery.loops.receiver.unsubscribe import Unsubscribe
from delivery.loops.receiver.whatsapp import WhatsApp

log = structlog.get_logger()

BODY_BYTES_MAX: Final = 3 * 1024 * 1024
"""Meta posts at most 3 MB; the others' bounds are smaller."""
SHUTDOWN_SECONDS_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class ReceiverSecrets:
    """What posts are signed with; an endpoint whose secret is missing takes nothing."""

    whatsapp_app: SecretStr | None = None
    whatsapp_verify_token: SecretStr | None = None
    report: SecretStr | None = None
    unsubscribe: SecretStr | None = None


class Receiver:
    """`/whatsapp`, `/reports`, `/bounces` and `/unsubscribe/…`.

    What comes in is taken (200) once what follows from it is committed. While the database is away the answer is 503,
    and who sent it comes again.
    """

    def __init__(self, pipeline: Pipeline, *, host: str, port: int, secrets: ReceiverSecrets, health: Health) -> None:
        self._taking = Taking(pipeline)
        self._host = host
        self._port = port
        self._secrets = secrets
        self._health = health

    def application(self) -> web.Application:
        """All the routes."""
        secrets = self._secrets
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        for endpoint in (
            WhatsApp(self._taking, app_secret=secrets.whatsapp_app, verify_token=secrets.whatsapp_verify_token),
            Reports(self._taking, secret=secrets.report),
            Bounces(self._taking, secret=secrets.report),
            Unsubscribe(self._taking, secret=secrets.unsubscribe),
        ):
            app.add_routes(endpoint.routes())
        return app

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; answers under way are finished."""
        runner = web.AppRunner(
            self.application(), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS_MAX
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
            log.info("receiver_listening", host=self._host, port=runner.addresses[0][1])
            self._health.ready("receiver", True)
            await stop.wait()
        finally:
            await runner.cleanup()
