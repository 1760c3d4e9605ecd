"""What the console does by itself: answer questions, and erase what is deleted."""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Final

import structlog
import uvicorn
from chassis.clock import sleep_unless
from chassis.health import Health
from chassis.pool import Conn, Pool, is_transient
from chassis.rounds import Rounds
from fastapi import FastAPI
from messaging import Service

from console.handlers.erasure import erase_some
from console.store import build

log = structlog.get_logger()

ERASURE_REST_SECONDS: Final = 0.5
ANSWER_SECONDS_MAX: Final = 8
"""How long a stop waits for answers that are being written."""
CONCURRENCY_MAX: Final = 64
"""Beyond it questions are refused at once (503)."""
BEAT_SECONDS: Final = 5.0
STALL_SECONDS_MAX: Final = 60.0
WATCH_REST_SECONDS: Final = 1.0


def erasing(service: Service, health: Health) -> Rounds:
    """Erases a batch a round, each in a transaction of its own."""

    async def erase() -> bool:
        async with service.begin() as tx:
            return await erase_some(tx)

    return Rounds("erasure", erase, rest_seconds=ERASURE_REST_SECONDS, health=health)


class RebuildWatch:
    """Ends where the read model was dropped: its readers stand where nothing is, so it must be started anew."""

    def __init__(self, pool: Pool, health: Health, *, built_at: datetime) -> None:
        self.__qualname__ = "rebuild_watch"
        self._pool = pool
        self._health = health
        self._built_at = built_at

    async def __call__(self, stop: asyncio.Event) -> None:
        """Until stopped, or until it was dropped."""
        while not stop.is_set():
            self._health.beat(self.__qualname__, every_seconds_max=STALL_SECONDS_MAX)
            try:
                async with self._pool.acquire() as conn:
                    built_at = await build.built_at(conn)
            except Exception as error:
                if not is_transient(error):
                    raise
                built_at = self._built_at
            if built_at != self._built_at:
                log.warning("read_model_dropped", reading="anew after a restart")
                return
            await sleep_unless(stop, WATCH_REST_SECONDS)
        self._health.forget(self.__qualname__)


class Snapshots:
    """Opens transactions that read one snapshot and write nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Conn]:
        async with self._pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            yield conn


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Answering:
    """The HTTP server, in the service's own loop."""

    def __init__(self, api: FastAPI, *, host: str, port: int, health: Health) -> None:
        self.__qualname__ = "answering"
        self._health = health
        config = uvicorn.Config(
            api,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            limit_concurrency=CONCURRENCY_MAX,
            timeout_graceful_shutdown=ANSWER_SECONDS_MAX,
        )
        self._server = _Server(config)
        health.ready("answering", False)

    async def __call__(self, stop: asyncio.Event) -> None:
        """Answer until told to stop; what is being answered is answered to its end."""
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve())
            group.create_task(self._watch(stop, serving))
        self._health.forget(self.__qualname__)

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except SystemExit:  # uvicorn's way of saying that the address is taken
            raise OSError("the address of the console cannot be bound") from None

    async def _watch(self, stop: asyncio.Event, serving: asyncio.Task[None]) -> None:
        while not stop.is_set() and not serving.done():
            self._health.beat(self.__qualname__, every_seconds_max=4 * BEAT_SECONDS)
            if self._server.started and not self._told:
                self._tell()
            await sleep_unless(stop, BEAT_SECONDS if self._told else 0.05)
        self._health.ready("answering", False)
        self._server.should_exit = True

    _told = False

    def _tell(self) -> None:
        self._told = True
        self._health.ready("answering", True)
        bound = self._server.servers[0].sockets[0].getsockname()
        log.info("console_listening", host=bound[0], port=bound[1])
