"""aiohttp alone: as many connections as our senders have; body and signature are made before the clock starts.

As in our channel no timer runs for a request, and an answer that came with its head is taken without waiting.
"""

import asyncio
from itertools import count

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from chassis.clock import monotonic

from benchmarks.loops.process import run, say, told

HEADERS = {
    "content-type": "application/json",
    "webhook-id": "0b6d6f0e-8ee0-8b42-a3f4-4e54d6a1f0aa",
    "webhook-timestamp": "1772355600",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}


async def main() -> None:
    """Post `messages` bodies to `url` on `connections` connections; say how long that took."""
    settings = told()
    body = settings["body"].encode()
    numbers = count()
    async with ClientSession(
        connector=TCPConnector(limit=settings["connections"]),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
    ) as session:

        async def work() -> None:
            while next(numbers) < settings["messages"]:
                async with session.post(settings["url"], data=body, headers=HEADERS) as answer:
                    if answer.content.is_eof():
                        answer.content.read_nowait()
                    else:
                        await answer.read()

        started = monotonic()
        await asyncio.gather(*(work() for _ in range(settings["connections"])))
        say(seconds=monotonic() - started)


if __name__ == "__main__":
    run(main())
