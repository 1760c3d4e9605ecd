"""One service on Kafka: its readers, its relay, its lookout, and transactions for its loops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from chassis.backoff import delays
from chassis.cancelling import contained
from chassis.clock import sleep_unless
from chassis.health import Health
from chassis.pool import Pool
from faststream.kafka import KafkaBroker

from messaging import inbox, offsets
from messaging.consume import Reader
from messaging.lookout import Lookout
from messaging.outbox import BULK, URGENT
from messaging.pipeline import Pipeline
from messaging.relay import Relay
from messaging.routes import Routes
from messaging.tx import Tx

log = structlog.get_logger()

BATCH_SECONDS_MAX: Final = 8.0
"""How long a stop waits for the batches under way; one that is cut off was never committed, and is read again."""
LEAVE_SECONDS_MAX: Final = 12.0
BEAT_SECONDS: Final = 0.2
CONFIRM_SECONDS_MAX: Final = 0.5
INBOX_KEPT: Final = timedelta(days=40)
INBOX_SWEEP_ROWS_MAX: Final = 5_000
INBOX_SWEEP_SECONDS: Final = 60.0


class Service:
    """Readers for every topic of `routes`, the relay, and the upkeep of both; everything in `pool`'s schema."""

    def __init__(self, *, routes: Routes, pool: Pool, kafka: Sequence[str], health: Health) -> None:
        self.name = routes.service
        self.source = routes.source
        self.pool = pool
        self.pipeline = Pipeline(routes.service, routes.source, pool, guarded=bool(routes.adoptions))
        self._routes = routes
        self._health = health
        self._kafka = list(kafka)
        self._broker = KafkaBroker(
            self._kafka,
            apply_types=False,
            allow_auto_create_topics=False,
            client_id=f"sluice-{routes.source}",
            logger=None,
            graceful_timeout=BATCH_SECONDS_MAX,
        )
        self._readers = [Reader(self._broker, self.pipeline, table, health) for table in routes.topics.values()]

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction for a loop; what is said in it is published after its commit."""
        async with self.pipeline.begin() as tx:
            yield tx

    async def run(self, stop: asyncio.Event) -> None:
        """Read, handle and publish until `stop`; what is under way is finished, what is said is published."""
        self._health.ready("kafka", False)
        done_reading, done_publishing = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish(done_reading, done_publishing))
            if self.pipeline.guarded:
                lookout = Lookout(self.pipeline, self._routes, kafka=self._kafka, health=self._health)
                group.create_task(lookout.run(done_publishing))
            group.create_task(self._sweep(stop))
            try:
                await self._connect(stop)
                for reader in self._readers:
                    group.create_task(reader.watch(stop))
                group.create_task(self._beat(stop))
                self._health.ready("kafka", not stop.is_set())
                await stop.wait()
            finally:
                self._health.ready("kafka", False)
                await self._disconnect()
            done_reading.set()

    async def _publish(self, done_reading: asyncio.Event, done: asyncio.Event) -> None:
        """Both lanes until all is read and said; who looks out stays until then."""
        async with asyncio.TaskGroup() as group:
            for lane in (URGENT, BULK):
                relay = Relay(
                    self.pool, kafka=self._kafka, lane=lane, health=self._health, guarded=self.pipeline.guarded
                )
                group.create_task(relay.run(done_reading))
        done.set()

    async def _connect(self, stop: asyncio.Event) -> None:
        """Try until Kafka lets us in; a stop is not kept waiting."""
        for delay in delays(0.2, 5.0):
            starting = asyncio.create_task(contained(self._broker.start()))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    return
                await starting
                return
            except Exception as error:
                log.warning("kafka_unreachable", error=type(error).__name__, delay_seconds=round(delay, 2))
                await self._disconnect()
            finally:
                starting.cancel()
                stopping.cancel()
            if await sleep_unless(stop, delay):
                return

    async def _disconnect(self) -> None:
        """Finish the batches under way and leave the groups, within a bound."""
        for reader in self._readers:
            reader.close()
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await contained(self._broker.stop())
        except Exception as error:
            log.warning("kafka_not_left", error=type(error).__name__)

    async def _beat(self, stop: asyncio.Event) -> None:
        """Confirm for all readers at once, several times a second, that they have caught up."""
        while not stop.is_set():
            due = [reader for reader in self._readers if reader.caught_up() and reader.must_confirm()]
            if due:
                try:
                    await self._confirm(due)
                except Exception as error:
                    log.warning("heartbeat_failed", error=type(error).__name__)
            await sleep_unless(stop, BEAT_SECONDS)

    async def _confirm(self, readers: Sequence[Reader]) -> None:
        """Look again once the connection is there: a beat that waited for one would vouch for what was true before."""
        async with asyncio.timeout(CONFIRM_SECONDS_MAX), self.pool.acquire() as conn:
            now = {(one.topic, partition): at for one in readers for partition, at in one.caught_up().items()}
            await offsets.beat(conn, now, guarded=self.pipeline.guarded)

    async def _sweep(self, stop: asyncio.Event) -> None:
        """Forget what is older than every topic that could repeat it."""
        while not stop.is_set():
            gone = 0
            try:
                async with self.pool.acquire() as conn:
                    gone = await inbox.forget(conn, older_than=INBOX_KEPT, limit=INBOX_SWEEP_ROWS_MAX)
            except Exception as error:
                log.warning("inbox_not_swept", error=type(error).__name__)
            if gone < INBOX_SWEEP_ROWS_MAX:
                await sleep_unless(stop, INBOX_SWEEP_SECONDS)
