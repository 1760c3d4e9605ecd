"""Applies reports that came early, and decides what is unknown when nobody else has."""

from typing import Final

from messaging import Service

from delivery.domain.resolution import by_policy
from delivery.handlers import resolutions
from delivery.handlers.reports import on_kept
from delivery.store import locks, reports, unknown

ROWS_MAX: Final = 500


class Resolver:
    """After its wait a message that may have arrived follows its step's `on_unknown`, while its sequence runs."""

    def __init__(self, service: Service, *, rows_max: int = ROWS_MAX) -> None:
        self._service = service
        self._rows_max = rows_max

    async def go_round(self) -> bool:
        """A batch of each, where a look finds any; True where there may be more.

        Reports first: they know better than a policy.
        """
        async with self._service.pool.acquire() as conn:
            reported = await reports.are_due(conn)
            doubted = bool(await unknown.due(conn, limit=1))
        applied = await self._apply() if reported else 0
        return (await self._decide() if doubted else False) or applied >= self._rows_max

    async def _apply(self) -> int:
        async with self._service.begin() as tx:
            await locks.share_gates(tx.conn)
            return await on_kept(tx, limit=self._rows_max)

    async def _decide(self) -> bool:
        async with self._service.begin() as tx:
            await locks.share_gates(tx.conn)
            due = await unknown.due(tx.conn, limit=self._rows_max)
            held = await unknown.hold(tx.conn, due)
            decided = [by_policy(one) for one in held.values() if one.waits]
            await resolutions.settle(tx, decided)
            resolutions.tell(tx, decided)
        return len(due) >= self._rows_max and bool(decided)
