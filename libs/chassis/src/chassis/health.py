"""Liveness that means progress: a process is alive while each of its loops has lately come round."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chassis import clock

__all__ = ["Health"]

log = structlog.get_logger(__name__)


class Health(Collector):
    """The book of a process's loops and of what it must have before it can work.

    A loop that stands is named in `/livez` (503), so that a supervisor restarts the process; what is not ready is named
    in `/readyz` (503). `/metrics` is Prometheus' text format. The server runs in the same event loop as the work: where
    that is blocked, nobody answers, and that is the truth too.
    """

    def __init__(self, *, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._beats: dict[str, tuple[float, float]] = {}
        self._ready: dict[str, bool] = {}

    def beat(self, name: str, every_seconds_max: float) -> None:
        """The loop `name` has come round, and will again within so many seconds. The first beat registers it."""
        self._beats[name] = (clock.monotonic(), every_seconds_max)

    def forget(self, name: str) -> None:
        """The loop `name` has ended as it should."""
        self._beats.pop(name, None)

    def ready(self, name: str, is_ready: bool) -> None:
        """Say whether `name` (a first assignment, a warm cache) is there."""
        self._ready[name] = is_ready

    def stalled(self) -> list[str]:
        """The loops that have not come round in time."""
        now = clock.monotonic()
        return sorted(name for name, (seen, within) in self._beats.items() if now - seen > within)

    def unready(self) -> list[str]:
        """What is missing before the process can work."""
        return sorted(name for name, is_ready in self._ready.items() if not is_ready)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The age of each loop's last beat, for Prometheus."""
        age = GaugeMetricFamily("sluice_loop_seconds_since_beat", "Age of a loop's last progress.", labels=["loop"])
        now = clock.monotonic()
        for name, (seen, _) in sorted(self._beats.items()):
            age.add_metric([name], now - seen)
        yield age

    @asynccontextmanager
    async def serve(self, host: str, port: int) -> AsyncIterator[int]:
        """Answer on `host:port` while the block runs; gives the port, which is any free one for 0."""
        app = web.Application()
        app.add_routes(
            [web.get("/livez", self._livez), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            bound: int = runner.addresses[0][1]
            self._registry.register(self)
            try:
                log.info("health_listening", host=host, port=bound)
                yield bound
            finally:
                self._registry.unregister(self)
        finally:
            await runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        stalled = self.stalled()
        return web.json_response({"stalled": stalled}, status=503 if stalled else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        stalled, missing = self.stalled(), self.unready()
        return web.json_response({"not_ready": missing, "stalled": stalled}, status=503 if missing or stalled else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
