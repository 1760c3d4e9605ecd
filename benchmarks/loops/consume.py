"""`getmany`, the same decoding, and the same rows in one statement a batch, each event at least once.

A batch is decoded while the one before is written, in turns so short that the database does not wait for the loop, and
commits by itself. The offsets of what is written are committed behind it, as seldom as ours, while all else goes on.
"""

import asyncio

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from chassis.clock import sleep
from sluice_contracts.delivery import MessageSent
from sluice_contracts.envelope import decode

from benchmarks.loops.process import run, told
from benchmarks.ratios.rows import INSERT

RECORDS_MAX = 4_000
RECORDS_A_TURN = 100
COMMIT_SECONDS = 2.0

Columns = tuple[list[str], list[str], list[str], list[str]]
Offsets = dict[TopicPartition, int]


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
    decoded = asyncio.Queue[tuple[Columns, Offsets]](maxsize=1)
    written: Offsets = {}
    moved = asyncio.Event()

    async def read() -> None:
        while True:
            found = await consumer.getmany(timeout_ms=250, max_records=RECORDS_MAX)
            every = [record for records in found.values() for record in records]
            if not every:
                continue
            ids: list[str] = []
            sent: list[MessageSent] = []
            for start in range(0, len(every), RECORDS_A_TURN):
                turn = [decode(record.value, record.headers) for record in every[start : start + RECORDS_A_TURN]]
                ids += [envelope.id for envelope in turn]
                sent += [MessageSent.from_dict(envelope.data) for envelope in turn]
                await sleep(0)
            columns = (
                ids,
                [one.contact_id for one in sent],
                [one.sequence_id for one in sent],
                [one.step_id for one in sent],
            )
            await decoded.put((columns, {place: records[-1].offset + 1 for place, records in found.items()}))

    async def write() -> None:
        while True:
            columns, offsets = await decoded.get()
            await insert.fetch(*columns)
            written.update(offsets)
            moved.set()

    async def commit() -> None:
        while True:
            await moved.wait()
            moved.clear()
            await consumer.commit(dict(written))
            await sleep(COMMIT_SECONDS)

    await consumer.start()
    async with asyncio.TaskGroup() as group:
        for work in (read, write, commit):
            group.create_task(work())


if __name__ == "__main__":
    run(main())
