"""What a sender knows of the gates and of what is suspended, and whether stops are being heard at all."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Final

import structlog
from chassis.clock import monotonic, sleep_unless, utc_now
from chassis.health import Health
from chassis.pool import Conn, Pool, session

from delivery.domain.scope import Status, scopes_of
from delivery.store import control, scopes
from delivery.store.control import CONTROL_TOPICS, GATE_CHANNEL, Beat, GateChange
from delivery.store.scopes import Narrowed

log = structlog.get_logger()

REFRESH_SECONDS: Final = 0.1
STALL_SECONDS_MAX: Final = 60.0


class Control:
    """A copy of the gates and of closed scopes, refreshed by NOTIFY and at least ten times a second, and the
    heartbeats of the control readers.

    A copy that could not be refreshed, or a control partition whose reader has not confirmed to be caught up, for
    `staleness_seconds_max` on this process's own monotonic clock stops every claim and every send: who cannot hear
    stops does not send.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        staleness_seconds_max: float,
        health: Health,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._staleness_seconds_max = staleness_seconds_max
        self._health = health
        self._change = 0
        self._gates: dict[str, int] = {}
        self._closed: frozenset[str] = frozenset()
        self._on_trial: frozenset[str] = frozenset()
        self._beats: dict[tuple[str, int], int] = {}
        self._risen_at: dict[tuple[str, int], float] = {}
        self._heard_at = 0.0
        self._fresh_until = 0.0
        self._clock = utc_now().timestamp() - self._monotonic()
        """What the database's clock is ahead of this process's monotonic one."""
        self._woken = asyncio.Event()
        self._began = 0.0

    def outlived(self, claimed_at: float) -> bool:
        """Whether what was claimed then may be of a database that is no more: the session that saw it has ended."""
        return claimed_at < self._began

    def fresh(self) -> bool:
        """Whether stops are being heard."""
        return self._monotonic() < self._fresh_until

    def may_send(self, sequence_id: str, epoch: int) -> bool:
        """Whether a claim made at this epoch still holds, as far as this process knows."""
        return self._gates.get(sequence_id) == epoch and self.fresh()

    def lane_open(self, lane: str) -> bool:
        """Whether nothing that covers the lane is suspended, as far as this process knows.

        A claim needs no epoch of its scopes: one that is suspended opens again only when every claim of before is over.
        """
        return not self._closed or self._closed.isdisjoint(scopes_of(lane))

    def on_trial(self, lane: str) -> bool:
        """Whether only a trickle of the lane is let through."""
        return bool(self._on_trial) and not self._on_trial.isdisjoint(scopes_of(lane))

    def now(self) -> datetime:
        """The database's clock, as this process's monotonic clock carries it on from the last refresh."""
        return datetime.fromtimestamp(self._clock + self._monotonic(), UTC)

    def tell(self, now: datetime) -> None:
        """The database's clock, as somebody else has just read it."""
        self._clock = now.timestamp() - self._monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the copy fresh until stopped; while that fails it goes stale by itself."""
        self._health.ready("control", False)
        while not stop.is_set():
            self._health.beat("control", every_seconds_max=STALL_SECONDS_MAX)
            try:
                async with session(self._pool) as conn:
                    await conn.add_listener(GATE_CHANNEL, self._wake)
                    self._began = 0.0 if self._began == 0.0 else self._monotonic()
                    self._change = 0  # a new connection may lead to a database that was put back: read every gate anew
                    await self._look_until(stop, conn)
            except Exception as error:
                self._began = inf
                log.warning("control_not_refreshed", error=type(error).__name__)
                await sleep_unless(stop, REFRESH_SECONDS)
        self._health.forget("control")

    async def look(self, conn: Conn) -> None:
        """Take over which gates have changed, what time it is, and which readers have confirmed since the last look."""
        asked = self._monotonic()
        self._take(await control.gates(conn, after=self._change))
        self._narrow(await scopes.narrowed(conn))
        self.tell(await control.now(conn))
        self._hear(asked, await control.beats(conn))

    async def _look_until(self, stop: asyncio.Event, conn: Conn) -> None:
        while not stop.is_set():
            self._woken.clear()
            await self.look(conn)
            self._health.beat("control", every_seconds_max=STALL_SECONDS_MAX)
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _take(self, changed: Sequence[GateChange]) -> None:
        if self._change == 0:
            self._gates.clear()
        for gate in changed:
            if gate.open:
                self._gates[gate.sequence_id] = gate.epoch
            else:
                self._gates.pop(gate.sequence_id, None)
            self._change = gate.change

    def _narrow(self, narrowed: Sequence[Narrowed]) -> None:
        self._closed = frozenset(one.scope for one in narrowed if one.status != Status.RUNNING)
        self._on_trial = frozenset(one.scope for one in narrowed if one.trial)

    def _hear(self, asked: float, beats: Sequence[Beat]) -> None:
        """A beat that has risen counts from the look before: it may be as old as that. Every partition must beat.

        The copy of the gates is at least as fresh: it was asked for in the same round, before the beats.
        """
        whole = True
        for topic in CONTROL_TOPICS:
            own = [beat for beat in beats if beat.topic == topic]
            whole = whole and bool(own) and len(own) >= max(beat.partitions for beat in own)
        for topic, partition, beat, _ in beats:
            known = self._beats.get((topic, partition))
            if known is not None and beat != known:
                self._risen_at[topic, partition] = self._heard_at
            self._beats[topic, partition] = beat
        self._heard_at = asked
        oldest = min((self._risen_at.get((beat.topic, beat.partition), 0.0) for beat in beats), default=0.0)
        was = self.fresh()
        self._fresh_until = oldest + self._staleness_seconds_max if whole and oldest else 0.0
        if was != self.fresh():
            log.info("control_heard" if self.fresh() else "control_unheard")
        self._health.ready("control", self.fresh())

    def _wake(self, *_: object) -> None:
        self._woken.set()
