"""A batch of records becomes one transaction; a guilty record is split off, an outage is waited out."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog
from chassis.backoff import delays
from chassis.clock import sleep
from chassis.pool import Conn, Pool, is_transient
from prometheus_client import Counter as Metric

from messaging import inbox, offsets, outbox, quarantine
from messaging.inbound import Inbound, Record, read
from messaging.model import Batch, Cause, Fence, Message, Refused
from messaging.offsets import Move
from messaging.routes import WEIGHT_MAX, TopicRoutes
from messaging.tx import Tx

log = structlog.get_logger()

HANDLED: Final = Metric("sluice_messages_handled", "Records by what became of them.", ["topic", "type", "outcome"])
TIMEOUTS_BEFORE_BLAME: Final = 5

_NOW: Final = "select clock_timestamp()"


class NotAnswered(Exception):
    """A handler left a command without an answer: our own bug."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Handles what one service reads. `source` is what its ids are derived from."""

    service: str
    source: str
    pool: Pool

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction for loops; what is said in it is published after its commit."""
        async with self.pool.acquire() as conn, conn.transaction():
            tx = Tx(conn, await conn.fetchval(_NOW), self.source)
            yield tx
            if tx.outgoing:
                await outbox.write(conn, tx.outgoing)

    async def handle(self, routes: TopicRoutes, records: Sequence[Record], positions: dict[int, int]) -> None:
        """Handle the records of one topic, in order; `positions` (next offset by partition) moves with each commit.

        Raises OffsetsMoved where another owner has moved on, and only that.
        """
        models = routes.models
        fresh = [r for r in records if r.offset >= positions.get(r.partition, r.offset + 1)]
        fresh.sort(key=lambda r: (r.partition, r.offset))
        inbound = [read(record, models, known=routes.known) for record in fresh]
        for part in _bounded(inbound, routes):
            await self._settle(routes, part, positions)

    async def _settle(self, routes: TopicRoutes, part: Sequence[Inbound], positions: dict[int, int]) -> None:
        try:
            await self._patiently(routes, part, positions, guilty=None)
        except offsets.OffsetsMoved:
            raise
        except Exception as error:
            if len(part) == 1:
                log.error("record_quarantined", **_where(part[0]), error=type(error).__name__)
                part[0].broken = f"{type(error).__name__} in {routes.topic}"
                await self._patiently(routes, part, positions, guilty=part[0])
                return
            log.warning("batch_split", topic=routes.topic, records=len(part), error=type(error).__name__)
            middle = len(part) // 2
            await self._settle(routes, part[:middle], positions)
            await self._settle(routes, part[middle:], positions)

    async def _patiently(
        self, routes: TopicRoutes, part: Sequence[Inbound], positions: dict[int, int], *, guilty: Inbound | None
    ) -> None:
        """Try until it is done; a reason outside (the database is gone, a deadlock) is waited out without limit."""
        timeouts = 0
        for delay in delays(0.05, 5.0):
            try:
                moved = await self._transact(routes, part, positions, guilty=guilty)
            except (Exception, asyncpg.PostgresError) as error:
                timeouts += isinstance(error, asyncpg.QueryCanceledError)
                raced = isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "inbox_pkey"
                if timeouts > TIMEOUTS_BEFORE_BLAME or not (raced or is_transient(error)):
                    raise
                log.warning(
                    "batch_retried", topic=routes.topic, error=type(error).__name__, delay_seconds=round(delay, 2)
                )
                await sleep(delay)
            else:
                positions.update(moved)
                return

    async def _transact(
        self, routes: TopicRoutes, part: Sequence[Inbound], positions: dict[int, int], *, guilty: Inbound | None
    ) -> dict[int, int]:
        outcomes: Counter[tuple[str, str]] = Counter()
        moved = {inbound.record.partition: inbound.record.offset + 1 for inbound in part}
        for inbound in part:
            inbound.tries += 1
        async with self.pool.acquire() as conn, conn.transaction():
            moves = [Move(partition, positions[partition], upto) for partition, upto in moved.items()]
            await offsets.advance(conn, routes.topic, moves)
            tx = Tx(conn, await conn.fetchval(_NOW), self.source)
            todo, repeated = await self._unseen(conn, routes, part)
            await self._handle(routes, todo, tx, outcomes)
            for inbound in part:
                if inbound.broken is not None:
                    await self._quarantine(routes, inbound, tx, internal=inbound is guilty)
                    outcomes[_type(inbound), "quarantined"] += 1
            if tx.answers:
                await inbox.record(conn, tx.answers)
            await self._repeat(conn, routes, repeated, tx)
            outcomes["", "repeated"] += len(repeated)
            if tx.outgoing:
                await outbox.write(conn, tx.outgoing)
        for (kind, outcome), count in outcomes.items():
            HANDLED.labels(routes.topic, kind, outcome).inc(count)
        return moved

    async def _unseen(
        self, conn: Conn, routes: TopicRoutes, part: Sequence[Inbound]
    ) -> tuple[list[Inbound], list[Inbound]]:
        """Those never handled before (the first of equal ones), and the repeated commands."""
        if not routes.inbox:
            return list(part), []
        known = [i for i in part if i.broken is None and (i.message is not None or i.refused is not None)]
        first: dict[str, Inbound] = {}
        for inbound in known:
            first.setdefault(inbound.identity, inbound)
        if not first:
            return list(part), []
        if routes.commands:
            seen = await inbox.seen(conn, list(first))
            fresh = {id(inbound) for identity, inbound in first.items() if identity not in seen}
        else:
            new = await inbox.remember(conn, list(first))
            fresh = {id(inbound) for identity, inbound in first.items() if identity in new}
        old = [inbound for inbound in known if id(inbound) not in fresh]
        gone = {id(inbound) for inbound in old}
        return [i for i in part if id(i) not in gone], old if routes.commands else []

    async def _handle(
        self, routes: TopicRoutes, todo: Sequence[Inbound], tx: Tx, outcomes: Counter[tuple[str, str]]
    ) -> None:
        messages = [inbound.message for inbound in todo if inbound.message is not None and inbound.broken is None]
        if messages and routes.lock is not None:
            await routes.lock(messages, tx)
            tx.now = await tx.conn.fetchval(_NOW)
        for inbound in todo:
            if inbound.refused is not None and inbound.cause is not None and inbound.broken is None:
                tx.refuse(inbound.cause, inbound.refused, topic=routes.topic)
                outcomes[_type(inbound), "refused"] += 1
        for wave in _waves(todo):
            await self._handle_wave(routes, wave, tx, outcomes)

    async def _handle_wave(
        self, routes: TopicRoutes, wave: Sequence[Inbound], tx: Tx, outcomes: Counter[tuple[str, str]]
    ) -> None:
        by_type: dict[str, list[Message[Any]]] = defaultdict(list)
        gone = [inbound.tombstone for inbound in wave if inbound.tombstone is not None]
        for inbound in wave:
            if inbound.message is not None:
                by_type[inbound.message.cause.type].append(inbound.message)
        if gone and routes.tombstones is not None:
            await routes.tombstones(gone, tx)
        for kind, messages in by_type.items():
            await routes.handlers[kind](Batch(messages), tx)
            outcomes[kind, "handled"] += len(messages)
            if routes.commands:
                _assert_answered(messages, tx)

    async def _quarantine(self, routes: TopicRoutes, inbound: Inbound, tx: Tx, *, internal: bool) -> None:
        """Keep the record byte for byte; a stop that may be in it is applied; a command that is one is answered."""
        tx.outgoing.append(quarantine.envelop(self.service, inbound))
        if routes.fence is not None:
            if inbound.key is None:
                log.critical("heartbeat_withheld", **_where(inbound))
                await offsets.withhold(tx.conn, routes.topic, inbound.record.partition)
            else:
                await routes.fence([fence_of(inbound)], tx)
        if internal and routes.commands and inbound.cause is not None:
            tx.refuse(
                inbound.cause,
                Refused("internal", "the command could not be handled; it was set aside"),
                topic=routes.topic,
            )

    async def _repeat(self, conn: Conn, routes: TopicRoutes, repeated: Sequence[Inbound], tx: Tx) -> None:
        if not repeated:
            return
        stored = await inbox.seen(conn, [inbound.identity for inbound in repeated])
        for inbound in repeated:
            value = stored.get(inbound.identity)
            if value is not None and inbound.cause is not None:
                tx.repeat(inbound.cause, value, topic=routes.topic)


def fence_of(inbound: Inbound) -> Fence:
    """What can be read of a record that failed; a field of the wrong kind counts as not read."""
    data = inbound.data or {}
    version, status, epoch = data.get("state_version"), data.get("status"), data.get("epoch")
    record = inbound.record
    cause = inbound.cause or Cause(source=record.topic, id=f"{record.partition}:{record.offset}")
    return Fence(
        key=inbound.key or "",
        state_version=version if type(version) is int else None,
        status=status if isinstance(status, str) else None,
        epoch=epoch if type(epoch) is int else None,
        data=data,
        cause=cause,
    )


def _bounded(inbound: Sequence[Inbound], routes: TopicRoutes) -> Iterator[Sequence[Inbound]]:
    """Cut into transactions of at most WEIGHT_MAX, in order."""
    part: list[Inbound] = []
    weight = 0
    for one in inbound:
        heavy = _weight(one, routes)
        if part and weight + heavy > WEIGHT_MAX:
            yield part
            part, weight = [], 0
        part.append(one)
        weight += heavy
    if part:
        yield part


def _weight(inbound: Inbound, routes: TopicRoutes) -> int:
    if inbound.message is None or not routes.weigh:
        return 1
    weigh = routes.weigh.get(inbound.message.cause.type)
    return 1 if weigh is None else weigh(inbound.message.data)


def _waves(todo: Sequence[Inbound]) -> Iterator[list[Inbound]]:
    """The k-th message of every key before the (k+1)-th of any."""
    waves: list[list[Inbound]] = []
    depth: dict[str, int] = {}
    for inbound in todo:
        if inbound.broken is not None or (inbound.message is None and inbound.tombstone is None):
            continue
        assert inbound.key is not None
        place = depth.get(inbound.key, 0)
        depth[inbound.key] = place + 1
        if place == len(waves):
            waves.append([])
        waves[place].append(inbound)
    yield from waves


def _assert_answered(messages: Sequence[Message[Any]], tx: Tx) -> None:
    for message in messages:
        if inbox.identity(message.cause) not in tx.answers:
            raise NotAnswered(message.cause.type)


def _type(inbound: Inbound) -> str:
    return inbound.message.cause.type if inbound.message is not None else ""


def _where(inbound: Inbound) -> dict[str, Any]:
    record = inbound.record
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
