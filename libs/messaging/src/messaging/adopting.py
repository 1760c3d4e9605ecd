"""Makes a service know again what it has said and what its database has lost."""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka import ConsumerRecord
from prometheus_client import Counter as Metric
from sluice_contracts import topics
from sluice_contracts.answers import CommandAccepted, CommandRejected
from sluice_contracts.envelope import decode

from messaging import inbox, positions, put_backs
from messaging.ids import derive
from messaging.inbound import read
from messaging.model import Message, Tombstone
from messaging.pipeline import Pipeline
from messaging.positions import Place
from messaging.routes import Adoption, Routes
from messaging.said import Reading, is_own
from messaging.tx import Tx

log = structlog.get_logger()

ADOPTED: Final = Metric("sluice_put_back_adopted", "Records of its own that a service has read back.", ["topic"])
_ANSWERS: Final = (CommandAccepted.TYPE, CommandRejected.TYPE)


async def adopt_all(pipeline: Pipeline, routes: Routes, reading: Reading) -> None:
    """Adopt topic by topic, answers last. Whatever stops it, all of it may be done again."""
    ends = await reading.ends()
    async with pipeline.pool.acquire() as conn:
        begin = await positions.load(conn)
    own = [one for one in routes.adoptions if one.topic not in topics.ANSWER_TOPICS]
    answers = [one for one in routes.adoptions if one.topic in topics.ANSWER_TOPICS]
    for adoption in [*own, *answers]:
        count = 0
        async for records in reading.between(begin, ends, of=[adoption.topic]):
            said = [record for record in records if is_own(record, pipeline.source)]
            async with pipeline.adopting() as tx:
                await (adopt_answers(said, tx) if adoption in answers else _adopt(adoption, said, tx))
            count += len(said)
        ADOPTED.labels(adoption.topic).inc(count)
        log.warning("put_back_adopted", topic=adoption.topic, records=count)
    await _finish(pipeline, routes, ends)


async def _finish(pipeline: Pipeline, routes: Routes, ends: dict[Place, int]) -> None:
    async with pipeline.adopting() as tx:
        if routes.finish_adoption is not None:
            await routes.finish_adoption(tx)
        await positions.move(tx.conn, ends)
        await put_backs.adopted(tx.conn)


async def _adopt(adoption: Adoption, records: Sequence[ConsumerRecord], tx: Tx) -> None:
    if adoption.adopt is None:
        return
    inbound = [read(record, adoption.models, known=frozenset()) for record in records]
    whole: list[Message[Any] | Tombstone] = [
        what for one in inbound if one.broken is None and (what := one.message or one.tombstone) is not None
    ]
    if whole:
        await adoption.adopt(whole, tx)


async def adopt_answers(records: Sequence[ConsumerRecord], tx: Tx) -> None:
    """Keep answers, so that the same command gets the same one again."""
    answers: dict[str, bytes] = {}
    for record in records:
        envelope = decode(record.value, record.headers)
        command = envelope.data.get("command")
        if envelope.type in _ANSWERS and isinstance(command, dict) and record.value is not None:
            answers.setdefault(derive(str(command.get("source")), str(command.get("id"))), record.value)
    await inbox.adopt(tx.conn, answers)
