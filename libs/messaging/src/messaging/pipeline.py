"""A batch of records becomes one transaction; a guilty record is split off, an outage is waited out."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import asyncpg
import orjson
import structlog
from chassis.backoff import delays
from chassis.clock import monotonic, sleep
from chassis.pool import Conn, Pool, is_transient
from prometheus_client import Counter as Metric

from messaging import inbox, offsets, opening, outbox, quarantine
from messaging.inbound import Inbound, Record, read
from messaging.model import Batch, Cause, Fence, Message, Refused
from messaging.offsets import Move
from messaging.opening import Closed, Level
from messaging.routes import WEIGHT_MAX, Handler, TopicRoutes
from messaging.tx import Tx

log = structlog.get_logger()

HANDLED: Final = Metric("sluice_messages_handled", "Records by what became of them.", ["topic", "type", "outcome"])
READING_TURN_SECONDS: Final = 0.0002
"""So long is read at a time: then whoever writes has a turn."""
TIMEOUTS_BEFORE_BLAME: Final = 5
OPEN_SECONDS_WAIT: Final = 2.0
OPEN_POLL_SECONDS: Final = 0.1

NOT_SEEN: Final = inbox.Seen(answer=None, adopted=False)
INTERNAL: Final = Refused("internal", "the command could not be handled; it was set aside")

_NOW: Final = "select clock_timestamp()"


class NotAnswered(Exception):
    """A handler left a command without an answer: our own bug."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """A poll's way along its partitions: `at` is where it stands, `positions` is what the reader goes by."""

    positions: dict[int, int]
    at: dict[int, int]

    def move(self, moved: Mapping[int, int]) -> None:
        """Go on; the reader's position goes along unless a rebalance has changed it meanwhile."""
        for partition, upto in moved.items():
            if self.positions.get(partition) == self.at[partition]:
                self.positions[partition] = upto
            self.at[partition] = upto


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Handles what one service reads. `source` is what its ids are derived from."""

    service: str
    source: str
    pool: Pool
    guarded: bool = False
    """Nothing is taken in before what was said is known (see `opening`)."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction for loops; what is said in it is published after its commit.

        Raises Closed where the service does not open within OPEN_SECONDS_WAIT.
        """
        asked = monotonic()
        while True:
            async with self.pool.acquire() as conn, conn.transaction():
                now = await self._now(conn, Level.OPEN)
                if now is not None:
                    tx = Tx(conn, now, self.source)
                    yield tx
                    if tx.outgoing:
                        await outbox.write(conn, tx.outgoing)
                    return
            if monotonic() - asked > OPEN_SECONDS_WAIT:
                raise Closed(self.service)
            await sleep(OPEN_POLL_SECONDS)

    @asynccontextmanager
    async def adopting(self) -> AsyncIterator[Tx]:
        """A transaction in which a service that is closed takes over what it has said; what follows waits."""
        async with self.pool.acquire() as conn, conn.transaction():
            tx = Tx(conn, await conn.fetchval(_NOW), self.source)
            yield tx
            if tx.outgoing:
                await outbox.write(conn, tx.outgoing)

    async def _now(self, conn: Conn, level: Level) -> datetime | None:
        """The database's clock; None where the service is closed."""
        return await opening.now(conn, level) if self.guarded else await conn.fetchval(_NOW)

    async def handle(self, routes: TopicRoutes, records: Sequence[Record], positions: dict[int, int]) -> None:
        """Handle the records of one topic, in order; `positions` (next offset by partition) moves with each commit.

        Raises OffsetsMoved where another owner has moved on.
        """
        fresh = [r for r in records if r.offset >= positions.get(r.partition, r.offset + 1)]
        fresh.sort(key=attrgetter("partition", "offset"))
        # A rebalance meanwhile takes entries out of `positions`, or puts newer ones in. What this poll started from
        # stays what it is compared with, or a late retry would move a partition to where it has no business.
        walk = _Walk(positions, {record.partition: positions[record.partition] for record in fresh})
        parts = _parts(fresh, routes)
        reading = asyncio.ensure_future(anext(parts, None))
        try:
            while (part := await reading) is not None:
                reading = asyncio.ensure_future(anext(parts, None))  # while the database writes this one
                await self._settle(routes, part, walk)
        finally:
            reading.cancel()

    async def _settle(self, routes: TopicRoutes, part: Sequence[Inbound], walk: _Walk) -> None:
        """Handle a part; where it fails for a reason in the data, halve it until the guilty record stands alone."""
        try:
            await self._patiently(routes, part, walk)
        except offsets.OffsetsMoved:
            raise
        except Exception as error:
            if len(part) == 1:
                await self._condemn(routes, part[0], walk, error)
                return
            log.warning("batch_split", topic=routes.topic, records=len(part), error=type(error).__name__)
            middle = len(part) // 2
            await self._settle(routes, part[:middle], walk)
            await self._settle(routes, part[middle:], walk)

    async def _condemn(self, routes: TopicRoutes, inbound: Inbound, walk: _Walk, error: Exception) -> None:
        """Set a record aside. Where not even its fence can be applied, its partition's heartbeat is withheld."""
        log.error("record_quarantined", **_where(inbound), error=type(error).__name__)
        inbound.guilty = inbound.broken is None and inbound.cause is not None
        inbound.broken = inbound.broken or f"{type(error).__name__} in {routes.topic}"
        try:
            await self._patiently(routes, [inbound], walk)
        except offsets.OffsetsMoved:
            raise
        except Exception as again:
            if routes.fence is None or inbound.key is None:
                raise
            log.error("fence_failed", **_where(inbound), error=type(again).__name__)
            inbound.key = None
            await self._patiently(routes, [inbound], walk)

    async def _patiently(self, routes: TopicRoutes, part: Sequence[Inbound], walk: _Walk) -> None:
        """Try until it is done; a reason outside (the database is gone, a deadlock) is waited out without limit."""
        timeouts = 0
        for delay in delays(0.05, 5.0):
            try:
                moved = await self._when_open(routes, part, walk.at)
            except Exception as error:
                timeouts += isinstance(error, asyncpg.QueryCanceledError)
                raced = isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "inbox_pkey"
                if timeouts > TIMEOUTS_BEFORE_BLAME or not (raced or is_transient(error)):
                    raise
                log.warning(
                    "batch_retried", topic=routes.topic, error=type(error).__name__, delay_seconds=round(delay, 2)
                )
                await sleep(delay)
            else:
                walk.move(moved)
                return

    async def _when_open(
        self, routes: TopicRoutes, part: Sequence[Inbound], positions: Mapping[int, int]
    ) -> dict[int, int]:
        while True:
            try:
                return await self._transact(routes, part, positions)
            except Closed:
                await sleep(OPEN_POLL_SECONDS)

    async def _transact(
        self, routes: TopicRoutes, part: Sequence[Inbound], positions: Mapping[int, int]
    ) -> dict[int, int]:
        outcomes: Counter[tuple[str, str]] = Counter()
        moved = {inbound.record.partition: inbound.record.offset + 1 for inbound in part}
        for inbound in part:
            inbound.tries += 1
        async with self.pool.acquire() as conn, conn.transaction():
            moves = [Move(partition, positions[partition], upto) for partition, upto in moved.items()]
            await offsets.advance(conn, routes.topic, moves)
            now = await self._now(conn, Level.OPEN if routes.waits else Level.KNOWN)
            if now is None:
                raise Closed(routes.topic)
            tx = Tx(conn, now, self.source)
            todo, repeated = await self._unseen(tx, routes, part)
            await self._handle(routes, todo, tx, outcomes)
            for inbound in part:
                if inbound.broken is not None:
                    await self._quarantine(routes, inbound, tx)
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
        self, tx: Tx, routes: TopicRoutes, part: Sequence[Inbound]
    ) -> tuple[list[Inbound], list[Inbound]]:
        """Those never handled before (the first of equal ones), and the repeated commands."""
        if not routes.inbox:
            return list(part), []
        known = [
            one
            for one in part
            if (one.broken is None and (one.message is not None or one.refused is not None))
            or (one.guilty and routes.commands)
        ]
        first: dict[str, Inbound] = {}
        for inbound in known:
            first.setdefault(inbound.identity, inbound)
        if not first:
            return list(part), []
        if routes.commands:
            seen = await inbox.seen(tx.conn, list(first))
            undone = await self._undone(tx, routes, first, seen)
            fresh = {id(i) for identity, i in first.items() if identity not in seen or identity in undone}
        else:
            repeated = await inbox.remember(tx.conn, list(first))
            if not repeated and len(first) == len(known):  # as most often
                return list(part), []
            fresh = {id(inbound) for identity, inbound in first.items() if identity not in repeated}
        old = [inbound for inbound in known if id(inbound) not in fresh]
        gone = {id(inbound) for inbound in old}
        return [i for i in part if id(i) not in gone], old if routes.commands else []

    async def _undone(
        self, tx: Tx, routes: TopicRoutes, first: Mapping[str, Inbound], seen: Mapping[str, inbox.Seen]
    ) -> Set[str]:
        """Commands whose adopted answer says that they were accepted, and whose effect was lost: done again."""
        if routes.undone is None:
            return frozenset()
        asked: dict[str, tuple[Message[Any], Mapping[str, Any]]] = {}
        for identity, inbound in first.items():  # in the order in which they were asked
            answer, adopted = seen.get(identity, NOT_SEEN)
            message = inbound.message
            if adopted and answer is not None and message is not None:
                result = orjson.loads(answer)["data"].get("result")
                if result is not None:
                    asked[identity] = (message, result)
        undone = await routes.undone(tx.conn, asked) if asked else frozenset()
        if undone:
            await inbox.reopen(tx.conn, list(undone))
            tx.given |= {identity: answer for identity in undone if (answer := seen[identity].answer) is not None}
        return undone

    async def _handle(
        self, routes: TopicRoutes, todo: Sequence[Inbound], tx: Tx, outcomes: Counter[tuple[str, str]]
    ) -> None:
        readable = [inbound for inbound in todo if inbound.broken is None]
        touched = [what for inbound in readable if (what := inbound.message or inbound.tombstone) is not None]
        if touched and routes.lock is not None:
            await routes.lock(touched, tx)
            tx.now = await tx.conn.fetchval(_NOW)
        for inbound in todo:
            if inbound.refused is not None and inbound.cause is not None and inbound.broken is None:
                tx.refuse(inbound.cause, inbound.refused, topic=routes.topic)
                outcomes[_type(inbound), "refused"] += 1
            elif inbound.guilty and routes.commands and inbound.cause is not None:
                tx.refuse(inbound.cause, INTERNAL, topic=routes.topic)
        if routes.together is not None:
            await self._handle_together(routes.together, readable, tx, outcomes)
            return
        for wave in _waves(todo, fenced=routes.fence is not None):
            await self._handle_wave(routes, wave, tx, outcomes)

    async def _handle_together(
        self, handler: Handler, readable: Sequence[Inbound], tx: Tx, outcomes: Counter[tuple[str, str]]
    ) -> None:
        messages = [inbound.message for inbound in readable if inbound.message is not None]
        if messages:
            await handler(Batch(messages), tx)
            outcomes.update((message.cause.type, "handled") for message in messages)

    async def _handle_wave(
        self, routes: TopicRoutes, wave: Sequence[Inbound], tx: Tx, outcomes: Counter[tuple[str, str]]
    ) -> None:
        by_type: dict[str, list[Message[Any]]] = defaultdict(list)
        whole = [inbound for inbound in wave if inbound.broken is None]
        fences = [fence_of(inbound) for inbound in wave if inbound.broken is not None]
        gone = [inbound.tombstone for inbound in whole if inbound.tombstone is not None]
        for inbound in whole:
            if inbound.message is not None:
                by_type[inbound.message.cause.type].append(inbound.message)
        if fences and routes.fence is not None:
            await routes.fence(fences, tx)
        if gone and routes.tombstones is not None:
            await routes.tombstones(gone, tx)
        for kind, messages in by_type.items():
            await routes.handlers[kind](Batch(messages), tx)
            outcomes[kind, "handled"] += len(messages)
            if routes.commands:
                _assert_answered(messages, tx)

    async def _quarantine(self, routes: TopicRoutes, inbound: Inbound, tx: Tx) -> None:
        """Keep the record byte for byte; with a stop in it that may be unheard, its partition is not vouched for.

        What asks for nothing that can be read stops nothing: only a command that could be read is an unheard stop.
        """
        tx.outgoing.append(quarantine.envelop(self.service, inbound))
        if routes.fence is not None and inbound.key is None and (inbound.guilty or not routes.commands):
            log.critical("heartbeat_withheld", **_where(inbound))
            await offsets.withhold(tx.conn, routes.topic, inbound.record.partition)

    async def _repeat(self, conn: Conn, routes: TopicRoutes, repeated: Sequence[Inbound], tx: Tx) -> None:
        if not repeated:
            return
        stored = await inbox.seen(conn, [inbound.identity for inbound in repeated])
        for inbound in repeated:
            known = stored.get(inbound.identity)
            if known is not None and known.answer is not None and inbound.cause is not None:
                tx.repeat(inbound.cause, known.answer, topic=routes.topic)


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


async def _parts(records: Sequence[Record], routes: TopicRoutes) -> AsyncIterator[list[Inbound]]:
    """Read records, in order, cut into transactions of at most WEIGHT_MAX."""
    fenced = routes.fence is not None
    part: list[Inbound] = []
    weight = 0
    turn = monotonic()
    for record in records:
        one = read(record, routes.models, known=routes.known, fenced=fenced)
        if routes.inbox and one.cause is not None:
            one.identity = inbox.identity(one.cause)
        heavy = _weight(one, routes)
        if part and weight + heavy > WEIGHT_MAX:
            yield part
            part, weight = [], 0
        part.append(one)
        weight += heavy
        if monotonic() - turn > READING_TURN_SECONDS:
            await sleep(0)
            turn = monotonic()
    if part:
        yield part


def _weight(inbound: Inbound, routes: TopicRoutes) -> int:
    if inbound.message is None or not routes.weigh:
        return 1
    weigh = routes.weigh.get(inbound.message.cause.type)
    return 1 if weigh is None else weigh(inbound.message.data)


def _waves(todo: Sequence[Inbound], *, fenced: bool) -> Iterator[list[Inbound]]:
    """The k-th message of every key before the (k+1)-th of any; a broken one counts where its fence is applied."""
    waves: list[list[Inbound]] = []
    depth: dict[str, int] = {}
    for inbound in todo:
        fence = inbound.broken is not None and fenced
        whole = inbound.broken is None and (inbound.message is not None or inbound.tombstone is not None)
        if inbound.key is None or not (fence or whole):
            continue
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
