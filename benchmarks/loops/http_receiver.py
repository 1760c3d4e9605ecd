"""The cheapest HTTP receiver: it reads a whole request by its Content-Length and answers 200, after `delay` seconds.

A GET is answered with the time at which it has last answered anything else.
"""

import asyncio
from typing import cast

from chassis.clock import utc_now

from benchmarks.loops.process import run, say, told

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
END = b"\r\n\r\n"
LENGTH = b"content-length:"
LAST = b"get "


class Receiver(asyncio.Protocol):
    """One connection, kept alive."""

    answered_at = 0.0
    """Of all connections, in seconds since 1970."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without being of that class

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        assert self._transport is not None
        while (end := self._buffer.find(END)) >= 0:
            head = self._buffer[:end].lower()
            place = head.find(LENGTH)
            length = int(head[place + len(LENGTH) :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._buffer) < end + len(END) + length:
                return
            self._buffer = self._buffer[end + len(END) + length :]
            if head.startswith(LAST):
                text = repr(Receiver.answered_at).encode()
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            elif self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._answer_late)
            else:
                self._transport.write(ANSWER)

    def _answer_late(self) -> None:
        assert self._transport is not None
        Receiver.answered_at = utc_now().timestamp()
        self._transport.write(ANSWER)


async def main() -> None:
    """Say the port, then serve until it is ended."""
    delay = float(told().get("delay", 0))
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(delay), "127.0.0.1", 0)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    run(main())
