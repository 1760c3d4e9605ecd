"""A sender process's own count of attempts, and which lanes it claims from, told once in a while."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit
from zlib import crc32

import structlog
from chassis.clock import monotonic, sleep_unless
from chassis.health import Health
from chassis.pool import Conn, Pool, is_transient

from delivery.channels.base import Content, Result, WebhookContent
from delivery.channels.faults import provider_failed
from delivery.store import attempts
from delivery.store.attempts import Attempt

log = structlog.get_logger()

TELL_SECONDS: Final = 1.0
SERVE_SECONDS: Final = 5.0
STALL_SECONDS_MAX: Final = 60.0
URLS_KEPT: Final = 1_024
SERVER_GROUPS: Final = 64
"""Webhooks are counted by so many groups of hosts: bounded, however many there are, and naming none."""


class Tally:
    """Adds attempts up in memory and writes them once a second: no message costs a write of its own.

    What a process that dies has not written yet is lost to the breaker, and to nobody else.
    """

    def __init__(self, pool: Pool, *, owner: str, lanes: Sequence[str], health: Health) -> None:
        self._pool = pool
        self._owner = owner
        self._lanes = list(lanes)
        self._health = health
        self._attempts: Counter[tuple[str, int, str | None]] = Counter()
        self._serve_at = 0.0

    def note(self, lane: str, result: Result, content: Content | None = None) -> None:
        """An attempt has ended."""
        failed = provider_failed(result)
        if failed is not None:
            self._attempts[lane, servers_of(content), (result.code or "failed") if failed else None] += 1

    async def run(self, finished: asyncio.Event) -> None:
        """Tell until finished, and once more then."""
        while not finished.is_set():
            self._health.beat("tally", every_seconds_max=STALL_SECONDS_MAX)
            await self._tell()
            await sleep_unless(finished, TELL_SECONDS)
        await self._tell(leaving=True)
        self._health.forget("tally")

    async def _tell(self, *, leaving: bool = False) -> None:
        told = self._attempts.copy()
        serves = not leaving and monotonic() >= self._serve_at
        if not (told or serves or leaving):
            return
        try:
            async with self._pool.acquire() as conn, conn.transaction():
                await self._write(conn, told, serves=serves, leaving=leaving)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("tally_not_told", error=type(error).__name__)
            return
        self._attempts -= told
        if serves:
            self._serve_at = monotonic() + SERVE_SECONDS

    async def _write(
        self, conn: Conn, told: Counter[tuple[str, int, str | None]], *, serves: bool, leaving: bool
    ) -> None:
        if told:
            await attempts.add(conn, {Attempt._make(one): count for one, count in told.items()})
        if serves:
            await attempts.serve(conn, self._owner, self._lanes)
        if leaving:
            await attempts.leave(conn, self._owner)


def servers_of(content: Content | None) -> int:
    """The group of the server that a webhook goes to; every other channel has one provider."""
    return _group(content.url) if isinstance(content, WebhookContent) else 0


@lru_cache(maxsize=URLS_KEPT)
def _group(url: str) -> int:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return 0
    return 1 + crc32(host.encode(errors="replace")) % SERVER_GROUPS
