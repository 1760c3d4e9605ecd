"""The sink as a whole: one process, two ports, one file."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from devstack.sink.behaviour import Behaviours
from devstack.sink.book import Book
from devstack.sink.mail import MailServer
from devstack.sink.receiver import Receiver


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Port 0 takes any free one."""

    file: Path
    host: str = "127.0.0.1"
    http_port: int = 0
    smtp_port: int = 0
    keep_bodies: bool = False
    idempotent: tuple[str, ...] = ("webhook",)
    """The channels that honour idempotency keys."""


class Sink:
    """Start it, send to it, ask what arrived."""

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        self.behaviours = Behaviours()
        self.book = Book(settings.file, idempotent=settings.idempotent, keep_bodies=settings.keep_bodies)
        self.http_port = 0
        self.smtp_port = 0
        self._receiver = Receiver(self.book, self.behaviours)
        self._mail = MailServer(self.book, self.behaviours)
        self._web: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """Where HTTP is served."""
        return f"http://{self._settings.host}:{self.http_port}"

    async def start(self) -> None:
        """Read the file, then listen on both ports. OSError where a port is taken or the file cannot be written."""
        for noisy in ("mail.log", "mail.debug"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self.book.open()
        handler = web.Server(self._receiver.handle, access_log=None)
        self._web = web.ServerRunner(handler, shutdown_timeout=1.0)
        await self._web.setup()
        site = web.TCPSite(self._web, self._settings.host, self._settings.http_port, backlog=1024)
        await site.start()
        self.http_port = self._web.addresses[0][1]
        self.smtp_port = await self._mail.start(self._settings.host, self._settings.smtp_port)

    async def stop(self) -> None:
        """Take nothing more, answer what is there within a second, and close the file."""
        await self._mail.stop()
        if self._web is not None:
            await self._web.cleanup()
        await asyncio.sleep(0)
        self.book.close()


@contextlib.asynccontextmanager
async def running(settings: SinkSettings) -> AsyncIterator[Sink]:
    """A sink for as long as the block lasts."""
    sink = Sink(settings)
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()
