"""Tells of messages that wait for a channel or a sender that no sender process has the credentials of."""

from datetime import timedelta
from typing import Final

import structlog
from messaging import Service
from prometheus_client import Gauge

from delivery.domain.scope import CHANNELS
from delivery.store import attempts

log = structlog.get_logger()

UNSERVED: Final = Gauge("sluice_lane_unserved", "1: messages wait here and no process claims them.", ["lane"])
SEEN_SECONDS_MAX: Final = 30.0
"""A process tells every few seconds that it is there."""


class Unserved:
    """Each lane is logged once, and again only after it was served in between."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._told: set[str] = set()

    async def go_round(self) -> bool:
        """Look once."""
        async with self._service.pool.acquire() as conn:
            await attempts.forget_servers(conn, older_than=timedelta(seconds=SEEN_SECONDS_MAX))
            found = set(await attempts.unserved(conn, sorted(CHANNELS)))
        for lane in found - self._told:
            log.warning("lane_unserved", lane=lane)
            UNSERVED.labels(lane).set(1)
        for lane in self._told - found:
            log.info("lane_served", lane=lane)
            UNSERVED.labels(lane).set(0)
        self._told = found
        return False
