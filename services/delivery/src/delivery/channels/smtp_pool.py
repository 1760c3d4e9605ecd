"""Connections to the mail server, kept between messages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiosmtplib import SMTP, SMTPException
from chassis.clock import monotonic

MESSAGES_MAX: Final = 1_000
"""A server may want to see a new connection from time to time."""
IDLE_SECONDS_MAX: Final = 20.0
CLOSE_SECONDS_MAX: Final = 2.0


@dataclass(slots=True)
class Connection:
    """One connection and what it has been through."""

    client: SMTP
    messages: int = 0
    idle_since: float = field(default_factory=monotonic)


class SmtpPool:
    """Lends connections, the one used last first, and no more than `connections_max` at once."""

    def __init__(self, connect: Callable[[], Awaitable[SMTP]], *, connections_max: int) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(connections_max)
        self._idle: list[Connection] = []

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A connection that is ready for a message; what `connect` raises where there is none.

        `fresh` asks for one that was not used before, and gives up those that were: a kept one was found dead.
        """
        await self._places.acquire()
        try:
            if fresh:
                self._drop_idle()
            while self._idle:
                connection = self._idle.pop()
                if connection.client.is_connected and monotonic() - connection.idle_since < IDLE_SECONDS_MAX:
                    return connection
                connection.client.close()
            return Connection(await self._connect())
        except BaseException:
            self._places.release()
            raise

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """Give it back; one that may be in the midst of something is closed."""
        self._places.release()
        if reusable and connection.client.is_connected and connection.messages < MESSAGES_MAX:
            connection.idle_since = monotonic()
            self._idle.append(connection)
        else:
            connection.client.close()

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(connection.client) for connection in idle))

    def _drop_idle(self) -> None:
        for connection in self._idle:
            connection.client.close()
        self._idle.clear()


async def _quit(client: SMTP) -> None:
    try:
        await client.quit(timeout=CLOSE_SECONDS_MAX)
    except (SMTPException, OSError):
        client.close()
