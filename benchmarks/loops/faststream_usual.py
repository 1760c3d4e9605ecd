"""A FastStream handler as its tutorial writes one: one message, one model, one insert."""

import logging
from typing import Any

import asyncpg
import orjson
from faststream import FastStream
from faststream.kafka import KafkaBroker
from sluice_contracts.delivery import MessageSent

from benchmarks.loops.process import run, told
from benchmarks.ratios.rows import INSERT_ONE


async def main() -> None:
    """Until it is ended."""
    settings = told()
    pool = await asyncpg.create_pool(settings["database"], min_size=1, max_size=10, server_settings={"jit": "off"})
    broker = KafkaBroker(settings["kafka"], logger=logging.getLogger("quiet"))

    @broker.subscriber(settings["topic"], group_id=settings["group"], auto_offset_reset="earliest")  # type: ignore[untyped-decorator]
    async def on_message_sent(body: bytes) -> None:
        event: dict[str, Any] = orjson.loads(body)  # FastStream decodes what is called JSON, not CloudEvents
        sent = MessageSent.model_validate(event["data"])
        await pool.execute(INSERT_ONE, event["id"], sent.contact_id, sent.sequence_id, sent.step_id)

    await FastStream(broker, logger=logging.getLogger("quiet")).run()


if __name__ == "__main__":
    run(main())
