"""Bare SMTP: kept connections, as many as our senders have, and a mail that is made before the clock starts.

MAIL, RCPT and DATA are written at once, as the receiver offers it (RFC 2920). aiosmtplib, which our channel uses, loses
answers that come together; so this reads them by itself.
"""

import asyncio
from itertools import count
from typing import cast

from chassis.clock import monotonic

from benchmarks.loops.process import run, say, told

BEFORE = b"MAIL FROM:<sluice@example.org>\r\nRCPT TO:<c-"
BEHIND = b"@example.com>\r\nDATA\r\n"
TAKEN = (b"250", b"250", b"354")
END = b".\r\n"


class Client(asyncio.Protocol):
    """One connection, which gives the codes of answers in their order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._codes: list[bytes] = []
        self._wanted = 1
        self._waiter: asyncio.Future[tuple[bytes, ...]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The greeting is the first answer."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being of that class

    def data_received(self, data: bytes) -> None:
        """Count the last line of each answer."""
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        self._codes += [line[:3] for line in lines if line[3:4] != b"-"]
        if len(self._codes) >= self._wanted:
            self._waiter.set_result(tuple(self._codes))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for what cannot come."""
        if not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError())

    async def answers(self) -> tuple[bytes, ...]:
        """Wait for what was asked last."""
        return await self._waiter

    async def ask(self, written: bytes, wanted: int) -> tuple[bytes, ...]:
        """Write it; the codes of so many answers."""
        assert self._transport is not None
        self._codes, self._wanted, self._waiter = [], wanted, asyncio.get_running_loop().create_future()
        self._transport.write(written)
        return await self._waiter


async def main() -> None:
    """Send `messages` mails on `connections` connections; say how long that took."""
    settings = told()
    mail = settings["mail"].encode() + END
    numbers = count()

    async def work(client: Client) -> None:
        while (number := next(numbers)) < settings["messages"]:
            taken = await client.ask(BEFORE + b"%07d" % number + BEHIND, 3)
            assert taken == TAKEN, taken
            (code,) = await client.ask(mail, 1)
            assert code == b"250", code

    clients = [await connected(settings["port"]) for _ in range(settings["connections"])]
    started = monotonic()
    await asyncio.gather(*(work(client) for client in clients))
    say(seconds=monotonic() - started)
    await asyncio.gather(*(client.ask(b"QUIT\r\n", 1) for client in clients))


async def connected(port: int) -> Client:
    """Greeted, and introduced."""
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    await client.answers()
    await client.ask(b"EHLO bench\r\n", 1)
    return client


if __name__ == "__main__":
    run(main())
