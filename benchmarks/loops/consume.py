"""`getmany`, the same decoding, the same rows in one statement per batch, and the offsets committed behind it."""

import asyncio

import asyncpg
from aiokafka import AIOKafkaConsumer
from sluice_contracts.delivery import MessageSent
from sluice_contracts.envelope import decode

from benchmarks.loops.process import told
from benchmarks.ratios.rows import INSERT

RECORDS_MAX = 500


async def main() -> None:
    """Until it is ended."""
    settings = told()
    conn = await asyncpg.connect(settings["database"], server_settings={"jit": "off"})
    insert = await conn.prepare(INSERT)
    consumer = AIOKafkaConsumer(
        settings["topic"],
        bootstrap_servers=settings["kafka"],
        group_id=settings["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    while True:
        found = await consumer.getmany(timeout_ms=250, max_records=RECORDS_MAX)
        envelopes = [decode(record.value, record.headers) for records in found.values() for record in records]
        if not envelopes:
            continue
        sent = [MessageSent.from_dict(envelope.data) for envelope in envelopes]
        async with conn.transaction():
            await insert.fetch(
                [envelope.id for envelope in envelopes],
                [one.contact_id for one in sent],
                [one.sequence_id for one in sent],
                [one.step_id for one in sent],
            )
        await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
