"""PgQueuer: `fill`, or `work` with settings as JSON: batch, managers."""

import asyncio
import json
import os
import signal
import sys

import asyncpg
import uvloop
from garbage import seldom
from pgqueuer import AsyncpgDriver, PgQueuer, Queries
from pgqueuer.models import Job

URL = os.environ["PEER_URL"]
INSERTED_AT_ONCE = 5_000


async def fill() -> None:
    conn = await asyncpg.connect(URL)
    queries = Queries(AsyncpgDriver(conn))
    await queries.install()
    await queries.optimize_autovacuum()
    messages = [line.rstrip(b"\n") for line in sys.stdin.buffer]
    for start in range(0, len(messages), INSERTED_AT_ONCE):
        some = messages[start : start + INSERTED_AT_ONCE]
        await queries.enqueue(["send"] * len(some), some, [0] * len(some))
    await conn.close()


async def work(settings: dict[str, int]) -> None:
    managers = [await manager() for _ in range(settings["managers"])]
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: [one.shutdown.set() for one in managers])
    await asyncio.gather(*(one.run(batch_size=settings["batch"]) for one in managers))


async def manager() -> PgQueuer:
    """One connection of its own for each, as its guide advises."""
    one = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))

    @one.entrypoint("send")
    async def send(job: Job) -> None:
        json.loads(job.payload)

    return one


seldom()
uvloop.run(fill() if sys.argv[1] == "fill" else work(json.loads(sys.argv[2])))
