"""A producer with the relay's settings, and values that are in memory already: a window of sends under way."""

import asyncio
from collections import deque

import asyncpg
from aiokafka import AIOKafkaProducer
from chassis.clock import monotonic
from sluice_contracts.envelope import HEADERS

from benchmarks.loops.process import run, say, told

UNDER_WAY = 2_000


async def main() -> None:
    """Read the rows, wait for nobody, publish all, and say how long that took."""
    settings = told()
    conn = await asyncpg.connect(settings["database"])
    rows = await conn.fetch(f"select topic, key, value from {settings['table']} order by seq")
    await conn.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=settings["kafka"], enable_idempotence=True, linger_ms=5, max_batch_size=128 * 1024
    )
    await producer.start()
    headers = list(HEADERS)
    started = monotonic()
    flying: deque[asyncio.Future[object]] = deque()
    for topic, key, value in rows:
        flying.append(await producer.send(topic, value, key=key, headers=headers))
        if len(flying) >= UNDER_WAY:
            await flying.popleft()
    await asyncio.gather(*flying)
    seconds = monotonic() - started
    await producer.stop()
    say(seconds=seconds, rows=len(rows))


if __name__ == "__main__":
    run(main())
