"""Publishes the outbox: one owner per lane, in order, keyed and idempotent; a row goes when Kafka has it."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from chassis.backoff import delays
from chassis.cancelling import contained
from chassis.clock import monotonic, sleep, sleep_unless
from chassis.health import Health
from chassis.pool import Conn, Pool, session
from prometheus_client import Counter as Metric

from messaging import opening, outbox
from messaging.opening import Level
from messaging.outbox import BULK, LANES, URGENT, Low, Queued, unpack_headers

log = structlog.get_logger()

RELAYED: Final = Metric("sluice_outbox_relayed", "Records published from the outbox.", ["lane"])
BATCH_MAX: Final = {URGENT: 500, BULK: 2_000}
LINGER_MILLISECONDS: Final = {URGENT: 0, BULK: 5}
POLL_SECONDS: Final = 0.5
OWNER_POLL_SECONDS: Final = 0.5
KNOWN_POLL_SECONDS: Final = 0.1
ACKNOWLEDGE_SECONDS_MAX: Final = 30.0
STALL_SECONDS_MAX: Final = 120.0
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
CLOSE_SECONDS_MAX: Final = 12.0
LAST_SECONDS_MAX: Final = 5.0
"""How long a relay that is stopped goes on publishing; what is left then waits for the next owner."""
LOCK_CLASS: Final = 0x51_00

_LOCK: Final = "select pg_try_advisory_lock($1, hashtext(current_schema() || '.outbox.' || $2))"
_SCHEMA: Final = "select current_schema()"

# A plan for a few records reads all there are and sorts them, however many have come meanwhile.
_IN_ORDER: Final = "set enable_sort = off"


class Relay:
    """One lane's publisher. Two lanes never wait for each other: each has a connection and a producer of its own."""

    def __init__(self, pool: Pool, *, kafka: Sequence[str], lane: int, health: Health, guarded: bool = False) -> None:
        """`guarded`: publish nothing before what was said is known, or what is found beyond it tells nothing."""
        self._pool = pool
        self._guarded = guarded
        self._kafka = list(kafka)
        self._lane = lane
        self._health = health
        self._woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until stopped; any failure starts over with a new connection and a new producer.

        What was said before the stop is published after it, also where a first try fails, within LAST_SECONDS_MAX.
        """
        waits = delays(0.05, 5.0)
        stopped: float | None = None
        while stopped is None or monotonic() - stopped < LAST_SECONDS_MAX:
            self._health.beat(f"relay:{LANES[self._lane]}", every_seconds_max=STALL_SECONDS_MAX)
            started = monotonic()
            if stop.is_set():
                stopped = stopped or started
            try:
                async with asyncio.timeout(None if stopped is None else LAST_SECONDS_MAX):
                    await contained(self._own(stop))
                return
            except Exception as error:
                if monotonic() - started > 30:
                    waits = delays(0.05, 5.0)
                delay = next(waits)
                log.warning(
                    "relay_retried", lane=LANES[self._lane], error=type(error).__name__, delay_seconds=round(delay, 2)
                )
                await (sleep_unless(stop, delay) if stopped is None else sleep(min(delay, POLL_SECONDS)))

    async def _own(self, stop: asyncio.Event) -> None:
        async with session(self._pool) as conn:
            lane = LANES[self._lane]
            while not await conn.fetchval(_LOCK, LOCK_CLASS, lane):
                self._health.beat(f"relay:{lane}", every_seconds_max=STALL_SECONDS_MAX)
                if await sleep_unless(stop, OWNER_POLL_SECONDS):
                    return
            while self._guarded and not await opening.is_held(conn, Level.KNOWN):
                self._health.beat(f"relay:{lane}", every_seconds_max=STALL_SECONDS_MAX)
                if await sleep_unless(stop, KNOWN_POLL_SECONDS):
                    return
            await conn.execute(_IN_ORDER)
            channel = f"{await conn.fetchval(_SCHEMA)}.outbox"
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka,
                enable_idempotence=True,
                linger_ms=LINGER_MILLISECONDS[self._lane],
                max_batch_size=128 * 1024,
                max_request_size=2 * 1024 * 1024,
                request_timeout_ms=10_000,
            )
            await conn.add_listener(channel, self._wake)
            try:
                async with asyncio.timeout(ACKNOWLEDGE_SECONDS_MAX):
                    await producer.start()
                await self._publish(conn, producer, stop)
            finally:
                await _close(producer)

    async def _publish(self, conn: Conn, producer: AIOKafkaProducer, stop: asyncio.Event) -> None:
        lane = LANES[self._lane]
        stopped: float | None = None
        low = Low()
        while True:
            self._health.beat(f"relay:{lane}", every_seconds_max=STALL_SECONDS_MAX)
            self._woken.clear()
            if stop.is_set():
                stopped = stopped or monotonic()
                if monotonic() - stopped > LAST_SECONDS_MAX:
                    return
            limit = BATCH_MAX[self._lane]
            rows = await outbox.read(conn, self._lane, above=low.seq, limit=limit, bytes_max=BATCH_BYTES_MAX)
            if rows:
                async with asyncio.timeout(ACKNOWLEDGE_SECONDS_MAX):
                    upto = await _send(producer, rows)
                passed = await outbox.forget(conn, self._lane, [row.seq for row in rows], upto)
                low.published(rows[-1].seq, passed)
                RELAYED.labels(lane).inc(len(rows))
            elif stopped is not None:  # else it may have been said, and the stop asked, while this was read
                return
            else:
                await self._rest(stop)

    async def _rest(self, stop: asyncio.Event) -> None:
        """Until the next commit says so, or the poll behind it; a stop ends it as well."""
        waits = [asyncio.ensure_future(self._woken.wait()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(waits, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _wake(self, *_: object) -> None:
        self._woken.set()


class OffsetUnknown(Exception):
    """Kafka has the record and cannot say where any more: it is said again, for what is found there must be known."""


async def _send(producer: AIOKafkaProducer, rows: Sequence[Queued]) -> dict[tuple[str, int], int]:
    """Hand over all rows in order, then wait for every acknowledgement: the first failure is raised.

    The next offset behind them, by topic and partition.
    """
    futures = [
        await producer.send(row.topic, row.value, key=row.key, headers=unpack_headers(row.headers, value=row.value))
        for row in rows
    ]
    upto: dict[tuple[str, int], int] = {}
    for sent in await asyncio.gather(*futures):
        if sent.offset < 0:
            raise OffsetUnknown(sent.topic)
        at = (sent.topic, sent.partition)
        if upto.get(at, -1) <= sent.offset:
            upto[at] = sent.offset + 1
    return upto


async def _close(producer: AIOKafkaProducer) -> None:
    """End a producer with nothing left to send: the rows are in the outbox, and the next producer sends them."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            # An idempotent producer never gives up a batch: `stop` alone would wait for Kafka, and cut short it would
            # leave a task behind that publishes old rows whenever Kafka is back.
            producer._message_accumulator.fail_all(KafkaError("abandoned"))
            await contained(producer.stop())
    except Exception as error:
        log.debug("producer_not_closed", error=type(error).__name__)
