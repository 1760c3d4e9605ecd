"""Makes partitions ahead of time, and forgets what no latecomer can need any more."""

from datetime import timedelta
from typing import Final

from messaging import Service

from delivery.store import adoption, gates, history, markers, reports

PARTITION_DAYS_AHEAD: Final = 7
LATECOMERS_KEPT: Final = timedelta(days=40)
"""Longer than events are kept on their topic (30 d): so late, nothing is heard of any more."""
EARLY_REPORTS_KEPT: Final = timedelta(days=1)
"""Far longer than a send can go unbooked: so late, a report is of a message that is none of ours."""
MARKERS_PER_ROUND_MAX: Final = 5_000


class Upkeep:
    """Seldom and small."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def go_round(self) -> bool:
        """One round of upkeep; True where there is more to forget."""
        async with self._service.begin() as tx:
            await history.make_partitions(tx.conn, days_ahead=PARTITION_DAYS_AHEAD)
            await gates.forget(tx.conn, older_than=LATECOMERS_KEPT)
            forgotten = await markers.forget(tx.conn, older_than=LATECOMERS_KEPT, limit=MARKERS_PER_ROUND_MAX)
            adopted = await adoption.forget(tx.conn, older_than=LATECOMERS_KEPT, limit=MARKERS_PER_ROUND_MAX)
            unheard = await reports.forget(tx.conn, older_than=EARLY_REPORTS_KEPT, limit=MARKERS_PER_ROUND_MAX)
        return max(forgotten, adopted, unheard) >= MARKERS_PER_ROUND_MAX
