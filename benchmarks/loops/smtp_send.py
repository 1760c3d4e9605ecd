"""aiosmtplib alone: kept connections, as many as our senders have, and a mail that is made before the clock starts.

Command by command, for `sendmail` looks at each address and line of what is known to be right.
"""

import asyncio
from itertools import count

from aiosmtplib import SMTP
from aiosmtplib.typing import SMTPStatus
from chassis.clock import monotonic

from benchmarks.loops.process import run, say, told

SENDER = b"FROM:<sluice@example.org>"
END = b".\r\n"


async def main() -> None:
    """Send `messages` mails on `connections` connections; say how long that took."""
    settings = told()
    mail = settings["mail"].encode() + END
    numbers = count()

    async def work(client: SMTP) -> None:
        while (number := next(numbers)) < settings["messages"]:
            await client.execute_command(b"MAIL", SENDER)
            await client.execute_command(b"RCPT", f"TO:<c-{number:07d}@example.com>".encode())
            await client.execute_command(b"DATA")
            assert client.protocol is not None
            client.protocol.write(mail)
            answer = await client.protocol.read_response()
            assert answer.code == SMTPStatus.completed

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
    run(main())
