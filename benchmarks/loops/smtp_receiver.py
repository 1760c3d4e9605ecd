"""The cheapest mail server: it takes every message and keeps none."""

import asyncio
from typing import cast

from benchmarks.loops.process import run, say

GREETING = b"220 bench ESMTP\r\n"
HELLO = b"250-bench\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
OK = b"250 OK\r\n"
GO_ON = b"354 go on\r\n"
BYE = b"221 bye\r\n"
DOT = b"\r\n.\r\n"


class Receiver(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._in_data = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being of that class
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Answer every line, and every message as a whole."""
        self._buffer += data
        assert self._transport is not None
        while True:
            mark = DOT if self._in_data else b"\r\n"
            line, found, rest = self._buffer.partition(mark)
            if not found:
                return
            self._buffer = rest
            answer = self._answer(line)
            self._transport.write(answer)
            if answer is BYE:
                self._transport.close()
                return

    def _answer(self, line: bytes) -> bytes:
        if self._in_data:
            self._in_data = False
            return OK
        verb = line[:4].upper()
        if verb in (b"EHLO", b"HELO"):
            return HELLO
        if verb == b"DATA":
            self._in_data = True
            return GO_ON
        return BYE if verb == b"QUIT" else OK


async def main() -> None:
    """Say the port, then serve until it is ended."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    run(main())
