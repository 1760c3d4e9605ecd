"""Procrastinate: `fill`, or `work` with settings as JSON: concurrency, connections."""

import json
import logging
import os
import sys

import uvloop
from garbage import seldom
from procrastinate import App, PsycopgConnector

URL = os.environ["PEER_URL"]
SETTINGS = json.loads(sys.argv[2]) if sys.argv[1] == "work" else {"concurrency": 1, "connections": 2}
INSERTED_AT_ONCE = 1_000

logging.disable(logging.WARNING)  # that the application stands in the main module; errors are still told

connector = PsycopgConnector(conninfo=URL, min_size=SETTINGS["connections"], max_size=SETTINGS["connections"])
app = App(connector=connector)


@app.task(name="send")
async def send(**message: object) -> None:
    pass


async def fill() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        messages = [json.loads(line) for line in sys.stdin.buffer]
        for start in range(0, len(messages), INSERTED_AT_ONCE):
            await send.batch_defer_async(*messages[start : start + INSERTED_AT_ONCE])


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(concurrency=SETTINGS["concurrency"])


seldom()
uvloop.run(fill() if sys.argv[1] == "fill" else work())
