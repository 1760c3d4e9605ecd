"""Takes providers' reports over HTTP. What is not signed is refused."""

import asyncio
import hashlib
import hmac
from typing import Final

import orjson
import structlog
from aiohttp import web
from chassis.health import Health
from chassis.pool import is_transient
from messaging.pipeline import Pipeline
from pydantic import SecretStr

from delivery.domain.report import read_reports
from delivery.handlers.reports import on_reports

log = structlog.get_logger()

BODY_BYTES_MAX: Final = 3 * 1024 * 1024
"""Meta posts at most 3 MB."""
WHATSAPP: Final = "/whatsapp"


class Receiver:
    """`GET /whatsapp` answers Meta's question whether this address is ours; `POST /whatsapp` takes its reports.

    A report is taken (200) once what follows from it is committed. While the database is away the answer is 503, and
    the provider comes again.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        host: str,
        port: int,
        app_secret: SecretStr | None,
        verify_token: SecretStr | None,
        health: Health,
    ) -> None:
        self._pipeline = pipeline
        self._host = host
        self._port = port
        self._app_secret = app_secret
        self._verify_token = verify_token
        self._health = health

    def application(self) -> web.Application:
        """The two routes."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes([web.get(WHATSAPP, self._verify), web.post(WHATSAPP, self._take)])
        return app

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stopped; answers under way are finished."""
        runner = web.AppRunner(self.application(), access_log=None, handle_signals=False, shutdown_timeout=5.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
            log.info("receiver_listening", host=self._host, port=runner.addresses[0][1])
            self._health.ready("receiver", True)
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _verify(self, request: web.Request) -> web.Response:
        token = request.query.get("hub.verify_token", "").encode(errors="surrogateescape")
        expected = self._verify_token
        if expected is None or not hmac.compare_digest(token, expected.get_secret_value().encode()):
            return web.Response(status=403)
        return web.Response(text=request.query.get("hub.challenge", ""))

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._is_signed(body, request.headers.get("X-Hub-Signature-256", "")):
            return web.Response(status=401)
        try:
            reports = read_reports(orjson.loads(body))
        except orjson.JSONDecodeError:
            return web.Response(status=400)
        if not reports:
            return web.Response()
        try:
            async with self._pipeline.begin() as tx:
                known = await on_reports(reports, tx, provider="whatsapp")
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("reports_not_taken", error=type(error).__name__)
            return web.Response(status=503, headers={"Retry-After": "5"})
        log.info("reports_taken", count=known, unknown=len(reports) - known)
        return web.Response()

    def _is_signed(self, body: bytes, signature: str) -> bool:
        """`X-Hub-Signature-256: sha256=<HMAC of the body with the app's secret>`."""
        if self._app_secret is None:
            return False
        expected = hmac.digest(self._app_secret.get_secret_value().encode(), body, hashlib.sha256).hex()
        return hmac.compare_digest(f"sha256={expected}".encode(), signature.encode(errors="surrogateescape"))
