"""What a sender holds in memory of the gates, and whether stops are being heard at all."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from chassis.clock import monotonic, sleep_unless, utc_now
from chassis.health import Health
from chassis.pool import Conn, Pool
from sluice_contracts import topics

log = structlog.get_logger()

REFRESH_SECONDS: Final = 0.1
CONTROL_TOPICS: Final = (topics.SEQUENCES_EVENTS, topics.ENROLLMENT_CONTROL)
GATE_CHANNEL: Final = "delivery.gate"

_GATES: Final = """
select sequence_id, epoch, open, change from gate where change > $1 order by change
"""

_BEATS: Final = """
select topic, partition, beat, partitions from consumer_offset where topic = any($1::text[])
"""

_NOW: Final = """
select clock_timestamp()
"""


class Control:
    """A copy of the gates, refreshed by NOTIFY and at least ten times a second, and the control readers' heartbeats.

    A copy that could not be refreshed, or a control partition whose reader has not confirmed to be caught up, for
    `staleness_seconds_max` on this process's own monotonic clock stops every claim and every send: who cannot hear
    stops does not send.
    """

    def __init__(self, pool: Pool, *, staleness_seconds_max: float, health: Health) -> None:
        self._pool = pool
        self._staleness_seconds_max = staleness_seconds_max
        self._health = health
        self._change = 0
        self._gates: dict[str, int] = {}
        self._beats: dict[tuple[str, int], int] = {}
        self._changed_at: dict[tuple[str, int], float] = {}
        self._fresh_until = 0.0
        self._clock: tuple[datetime, float] = (utc_now(), monotonic())
        self._woken = asyncio.Event()

    def fresh(self) -> bool:
        """Whether stops are being heard."""
        return monotonic() < self._fresh_until

    def may_send(self, sequence_id: str, epoch: int) -> bool:
        """Whether a claim made at this epoch still holds, as far as this process knows."""
        return self._gates.get(sequence_id) == epoch and self.fresh()

    def now(self) -> datetime:
        """The database's clock, as this process's monotonic clock carries it on from the last refresh."""
        read, at = self._clock
        return read + timedelta(seconds=monotonic() - at)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the copy fresh until stopped; while that fails it goes stale by itself."""
        while not stop.is_set():
            try:
                async with self._pool.acquire() as conn:
                    await conn.add_listener(GATE_CHANNEL, self._wake)
                    try:
                        await self._refresh(conn, stop)
                    finally:
                        if not conn.is_closed():
                            await conn.remove_listener(GATE_CHANNEL, self._wake)
            except Exception as error:
                log.warning("control_not_refreshed", error=type(error).__name__)
                await sleep_unless(stop, REFRESH_SECONDS)

    async def _refresh(self, conn: Conn, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._woken.clear()
            asked = monotonic()
            for sequence_id, epoch, is_open, change in await conn.fetch(_GATES, self._change):
                if is_open:
                    self._gates[sequence_id] = epoch
                else:
                    self._gates.pop(sequence_id, None)
                self._change = change
            self._clock = (await conn.fetchval(_NOW), monotonic())
            self._hear(asked, [tuple(row) for row in await conn.fetch(_BEATS, CONTROL_TOPICS)])
            self._health.beat("control", every_seconds_max=30)
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _hear(self, asked: float, rows: list[tuple[str, int, int, int]]) -> None:
        """A beat counts from when it was asked for and had risen; every partition of every control topic must beat."""
        missing = False
        for topic in CONTROL_TOPICS:
            own = [row for row in rows if row[0] == topic]
            missing |= not own or len(own) < max(row[3] for row in own)
        for topic, partition, beat, _ in rows:
            place = (topic, partition)
            known = self._beats.get(place)
            if known is not None and beat != known:
                self._changed_at[place] = asked
            self._beats[place] = beat
        oldest = min((self._changed_at.get((topic, partition), 0.0) for topic, partition, _, _ in rows), default=0.0)
        was = self.fresh()
        # The copy itself may be as old as the beats: both are bounded by the same time.
        self._fresh_until = 0.0 if missing or oldest == 0.0 else oldest + self._staleness_seconds_max
        if was != self.fresh():
            log.info("control_heard" if self.fresh() else "control_unheard")
        self._health.ready("control", self.fresh())

    def _wake(self, *_: object) -> None:
        self._woken.set()
