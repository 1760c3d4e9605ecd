"""Suspends what keeps failing, and finds out when that is over."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog
from chassis.pool import Conn
from messaging import Service
from prometheus_client import Counter as Metric

from delivery.domain.breaker import Limits, Trip, Verdict, judge_all, of_lane
from delivery.domain.scope import Scope
from delivery.handlers.breaking import break_scopes
from delivery.store import attempts, control, locks, scopes

log = structlog.get_logger()

VERDICTS: Final = Metric("sluice_breaker_verdicts", "What the breaker did, by scope.", ["scope", "verdict"])
KEPT: Final = timedelta(minutes=10)
"""How long attempts are kept: a trial counts all of its own."""
ROUNDS_PER_SWEEP: Final = 60


class Breaker:
    """Whoever does the round: it is judged again under the lock before anything is written."""

    def __init__(self, service: Service, *, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._rounds = 0

    async def go_round(self) -> bool:
        """Judge every channel and every named sender; write what follows."""
        async with self._service.pool.acquire() as conn:
            if self._rounds % ROUNDS_PER_SWEEP == 0:
                await attempts.forget(conn, older_than=KEPT)
            self._rounds += 1
            _, verdicts = await self._judge(conn, lock=False)
        if not verdicts:
            return False
        async with self._service.begin() as tx:
            await locks.hold_gates(tx.conn)
            tx.now = await control.now(tx.conn)
            known, verdicts = await self._judge(tx.conn, lock=True)
            await break_scopes(verdicts, known, tx)
        for name, verdict in verdicts.items():
            VERDICTS.labels(name, type(verdict).__name__.lower()).inc()
            reason = verdict.reason if isinstance(verdict, Trip) else None
            log.warning("breaker", scope=name, verdict=type(verdict).__name__.lower(), reason=reason)
        return False

    async def _judge(self, conn: Conn, *, lock: bool) -> tuple[Mapping[str, Scope], Mapping[str, Verdict]]:
        known = await scopes.load(conn, lock=lock)
        counted = await attempts.count(conn, window=timedelta(seconds=self._limits.window_seconds), kept=KEPT)
        counts = {lane: of_lane(servers, limits=self._limits) for lane, servers in counted.items()}
        now = await control.now(conn)
        return known, judge_all(known, counts, limits=self._limits, now=now)
