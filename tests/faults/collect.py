"""From a run to its history: topics from where they stood, the sink's file, rows, and what was heard."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from sluice_contracts import topics
from sluice_contracts.base import parse_timestamp
from testkit.checker.history import Arrival, Found, Record, Row
from testkit.demo.traces import rows_with

from tests.faults.stage import Connection

ROWS: Final = {
    "delivery.pending": "sequence_id",
    "delivery.message": "sequence_id",
    "delivery.gate": "sequence_id",
    "delivery.books": "sequence_id",
    "delivery.books_delta": "sequence_id",
    "enrollment.enrollment": "sequence_id",
    "sequences.sequence": "sequence_id",
}
"""Tables whose rows of the run are kept, and the column that tells them."""
READ_MILLISECONDS: Final = 500
READ_SECONDS_MAX: Final = 120.0
_DATE: Final = re.compile(r"^Date: (.+?)\r?$", re.MULTILINE)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Marks:
    """Where everything stood before a run."""

    offsets: dict[TopicPartition, int]
    sink_bytes: int


async def mark(kafka: Sequence[str], sink_file: Path) -> Marks:
    """Where everything stands now."""
    async with _consumer(kafka) as consumer:
        ends = await consumer.end_offsets(_all(consumer))
    return Marks(dict(ends), _size(sink_file))


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


async def records(kafka: Sequence[str], since: Marks) -> tuple[Record, ...]:
    """Every record that was written since. TimeoutError where they cannot be read in READ_SECONDS_MAX."""
    async with _consumer(kafka) as consumer:
        partitions = _all(consumer)
        ends = await consumer.end_offsets(partitions)
        unread = {one for one in partitions if ends[one] > since.offsets.get(one, 0)}
        if not unread:
            return ()
        consumer.assign(list(unread))
        for one in unread:
            consumer.seek(one, since.offsets.get(one, 0))
        found: list[Record] = []
        async with asyncio.timeout(READ_SECONDS_MAX):
            while unread:
                for batch in (await consumer.getmany(timeout_ms=READ_MILLISECONDS, max_records=5_000)).values():
                    found += [_record(one) for one in batch]
                unread = {one for one in unread if await consumer.position(one) < ends[one]}
    return tuple(found)


def arrivals(sink_file: Path, since: Marks) -> tuple[Arrival, ...]:
    """Everything that came to the sink since."""
    with sink_file.open("rb") as file:
        file.seek(since.sink_bytes)
        lines = [orjson.loads(line) for line in file if line.endswith(b"\n")]
    return tuple(_arrival(line) for line in lines)


async def rows(conn: Connection, prefix: str) -> tuple[Row, ...]:
    """Rows of the run, as JSON."""
    found: list[Row] = []
    for table, column in ROWS.items():
        asked = f"select to_jsonb(t)::text from {table} t where {column} like $1 || '%'"
        found += [Row(table, orjson.loads(row[0])) for row in await conn.fetch(asked, prefix)]
    return tuple(found)


async def canaries(conn: Connection, words: Sequence[str]) -> tuple[Found, ...]:
    """Where in the tables words stand that were erased."""
    found: list[Found] = []
    for word in words:
        found += [Found(word, table, count) for table, count in (await rows_with(conn, word)).items()]
    return tuple(found)


def _record(record: Any) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=_EPOCH + timedelta(milliseconds=record.timestamp),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def _arrival(line: dict[str, Any]) -> Arrival:
    channel = "email" if line["channel"] == "smtp" else line["channel"]
    return Arrival(
        at=parse_timestamp(line["at"]),
        channel=channel,
        message_id=line["message_id"],
        accepted=line["accepted"],
        outcome=line["outcome"],
        to=line["to"] or "",
        begun_at=None if line["begun_at"] is None else parse_timestamp(line["begun_at"]),
        about=_about(channel, line),
        written_at=_written_at(line) if channel == "email" else None,
    )


def _written_at(line: dict[str, Any]) -> datetime | None:
    date = _DATE.search(line.get("body") or "")
    return None if date is None else parsedate_to_datetime(date[1])


def _about(channel: str, line: dict[str, Any]) -> tuple[str, str, str] | None:
    """What a message says of itself."""
    if channel == "email" and line["subject"] and line["to"]:
        sequence_id, _, step_id = line["subject"].partition("|")
        return sequence_id, line["to"].partition("@")[0], step_id
    if channel == "webhook" and line.get("body"):
        sequence_id, _, step_id = line["to"].rpartition(".")
        return sequence_id, orjson.loads(line["body"])["contact"], step_id
    return None


@asynccontextmanager
async def _consumer(kafka: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
    """One that knows the partitions of every topic; aiokafka has no public way to have them known before it reads."""
    consumer = AIOKafkaConsumer(bootstrap_servers=list(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        for topic in topics.ALL_TOPICS:
            await consumer._client.add_topic(topic)
        yield consumer
    finally:
        await consumer.stop()


def _all(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    return [
        TopicPartition(topic, partition)
        for topic in sorted(topics.ALL_TOPICS)
        for partition in sorted(consumer.partitions_for_topic(topic) or ())
    ]
