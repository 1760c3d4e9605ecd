"""aiosmtplib alone: kept connections, as many as our senders have, and a mail that is made before the clock starts."""

import asyncio
from itertools import count

from aiosmtplib import SMTP
from chassis.clock import monotonic

from benchmarks.loops.process import say, told

SENDER = "sluice@example.org"


async def main() -> None:
    """Send `messages` mails on `connections` connections; say how long that took."""
    settings = told()
    mail = settings["mail"].encode()
    numbers = count()

    async def work(client: SMTP) -> None:
        while (number := next(numbers)) < settings["messages"]:
            await client.sendmail(SENDER, [f"c-{number:07d}@example.com"], mail)

    clients = [
        SMTP(hostname="127.0.0.1", port=settings["port"], use_tls=False, start_tls=False)
        for _ in range(settings["connections"])
    ]
    await asyncio.gather(*(client.connect() for client in clients))
    started = monotonic()
    await asyncio.gather(*(work(client) for client in clients))
    say(seconds=monotonic() - started)
    await asyncio.gather(*(client.quit() for client in clients))


if __name__ == "__main__":
    asyncio.run(main())
