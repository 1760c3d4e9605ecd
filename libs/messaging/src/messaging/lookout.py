"""Notices that the database was put back to an earlier moment, and keeps the service closed until that is mended.

The relay notes how far it has published where it forgets what it has published. Whoever takes the lookout's lock looks
at the service's own topics from there on: a record of ours that is not in the outbox was said by a database that is no
more. The look counts while the session that made it lives (`opening`), for after a put-back all sessions are new.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError
from chassis.backoff import delays
from chassis.cancelling import contained
from chassis.clock import monotonic, sleep_unless
from chassis.health import Health
from chassis.pool import Conn, session
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from messaging import opening, positions, put_backs
from messaging.adopting import adopt_all
from messaging.opening import Level
from messaging.pipeline import Pipeline
from messaging.positions import Found
from messaging.put_backs import PutBack
from messaging.routes import Routes
from messaging.said import SHARED, NotRead, Reading, is_own, reading

log = structlog.get_logger()

OPEN: Final = Gauge(
    "sluice_open", "1: what was said is known, and commands are taken. 0: after a put-back, or starting."
)
PUT_BACKS: Final = Metric("sluice_put_backs", "How often the database was found at an earlier moment than its topics.")
OWNER_POLL_SECONDS: Final = 0.5
STAY_SECONDS: Final = 0.5
CATCH_UP_POLL_SECONDS: Final = 0.2
KEEP_UP_SECONDS: Final = 60.0
KEEP_UP_SECONDS_MAX: Final = 10.0
CATCH_UP_TOLD_SECONDS: Final = 10.0
STALL_SECONDS_MAX: Final = 120.0
DELAY_SECONDS_MAX: Final = 2.0
"""Between tries. While nobody has looked, heartbeats do not count: much longer, and senders would stop."""
_HEALTH: Final = "said"

_LOCK: Final = "select pg_try_advisory_lock($1, hashtext(current_schema() || '.lookout'))"
LOCK_CLASS: Final = 0x51_11


class PutBackMeanwhile(Exception):
    """What was known to be published has become less: the rows were put back under a session that lives."""


class Lookout:
    """One per schema looks, and vouches for what it has seen; the others wait to take over."""

    def __init__(self, pipeline: Pipeline, routes: Routes, *, kafka: Sequence[str], health: Health) -> None:
        self._pipeline = pipeline
        self._routes = routes
        self._kafka = list(kafka)
        self._health = health
        self._topics = [one.topic for one in routes.adoptions]

    async def run(self, stop: asyncio.Event) -> None:
        """Look and vouch until stopped; a lost session, or Kafka out of reach, has it start over."""
        waits = delays(0.05, DELAY_SECONDS_MAX)
        while not stop.is_set():
            started = monotonic()
            self._tell(False)
            vouching = asyncio.create_task(contained(self._vouch(stop)))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({vouching, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stop.is_set():
                    break  # Kafka may be away: nobody waits for it
                await vouching
            except Exception as error:
                if monotonic() - started > DELAY_SECONDS_MAX * 5:
                    waits = delays(0.05, DELAY_SECONDS_MAX)
                delay = next(waits)
                log.warning("lookout_retried", error=type(error).__name__, delay_seconds=round(delay, 2))
                await sleep_unless(stop, delay)
            finally:
                await _end(vouching, stopping)
        self._health.forget("lookout")

    async def _vouch(self, stop: asyncio.Event) -> None:
        async with session(self._pipeline.pool) as conn:
            while not await conn.fetchval(_LOCK, LOCK_CLASS):
                self._tell(await opening.is_held(conn, Level.OPEN))
                if await sleep_unless(stop, OWNER_POLL_SECONDS):
                    return
            found = await self._look(conn)
            await opening.hold(conn, Level.KNOWN)
            if found is not None and not await self._caught_up(conn, stop):
                return
            await opening.hold(conn, Level.OPEN)
            self._tell(True)
            await self._stay(conn, stop)

    async def _look(self, conn: Conn) -> PutBack | None:
        """Look beyond what is known to be published; where the database was put back, adopt what is found there."""
        self._beat()
        under_way = await put_backs.under_way(conn)
        if under_way is not None and under_way.adopted_at is not None:
            return under_way
        async with reading(self._kafka, self._topics) as own:
            if under_way is None:
                beyond = await self._beyond(conn, own)
                if beyond is None:
                    return None
                under_way = await put_backs.find(conn)
                PUT_BACKS.inc()
                log.critical("database_put_back", topic=beyond.topic, partition=beyond.partition, offset=beyond.offset)
            adopting = asyncio.create_task(adopt_all(self._pipeline, self._routes, own))
            try:
                while not adopting.done():
                    self._beat()
                    await asyncio.wait([adopting], timeout=STAY_SECONDS)
                await adopting
            finally:
                await _end(adopting)
        return under_way

    async def _beyond(self, conn: Conn, own: Reading) -> Found | None:
        """A record of ours that this database does not know; where there is none, the next look begins here."""
        ends = await own.ends()
        async with conn.transaction():  # or a crash in between has everything looked at as if nothing were known
            if await positions.begins_at_ends(conn):
                await positions.move(conn, ends)
        known = await positions.load(conn)
        async for records in own.between(known, ends, of=self._topics):
            self._beat()
            said = [
                Found(one.topic, one.partition, one.offset, one.key, one.value)
                for one in records
                if is_own(one, self._pipeline.source)
            ]
            unknown = await positions.unknown(conn, said)
            if unknown is not None:
                return unknown
        await positions.move(conn, ends)
        return None

    async def _caught_up(self, conn: Conn, stop: asyncio.Event) -> bool:
        """Wait until the readers of all that waits for nothing have caught up; False where stopped before."""
        heard = [topic for topic, routes in self._routes.topics.items() if not routes.waits]
        told = 0.0
        while behind := await put_backs.behind(conn, heard):
            self._beat()
            if monotonic() - told > CATCH_UP_TOLD_SECONDS:
                told = monotonic()
                log.warning("put_back_catching_up", topics=behind)
            if await sleep_unless(stop, CATCH_UP_POLL_SECONDS):
                return False
        await put_backs.opened(conn)
        log.warning("put_back_over")
        return True

    async def _stay(self, conn: Conn, stop: asyncio.Event) -> None:
        """Keep the session until stopped, and see that nothing is put back under it."""
        total, kept_up = 0, monotonic()
        while True:
            self._beat()
            before, total = total, await positions.total(conn)
            if total < before:
                raise PutBackMeanwhile
            if monotonic() - kept_up > KEEP_UP_SECONDS:
                await self._keep_up(conn)
                kept_up = monotonic()
            if await sleep_unless(stop, STAY_SECONDS):
                return

    async def _keep_up(self, conn: Conn) -> None:
        """Others write much where this service says little: whoever looks next need not read all of it.

        While this session lives, all of ours that stands on a topic is known, or stands in the outbox.
        """
        shared = SHARED.intersection(self._topics)
        try:
            async with asyncio.timeout(KEEP_UP_SECONDS_MAX), reading(self._kafka, shared) as own:
                await positions.move(conn, await own.ends())
        except (TimeoutError, KafkaError, NotRead) as error:
            log.warning("lookout_behind", error=type(error).__name__)

    def _beat(self) -> None:
        self._health.beat("lookout", every_seconds_max=STALL_SECONDS_MAX)

    def _tell(self, is_open: bool) -> None:
        self._beat()
        OPEN.set(is_open)
        self._health.ready(_HEALTH, is_open)


async def _end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
