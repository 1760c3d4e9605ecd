"""What one sender process has claimed of a channel or a named sender, and the workers that send it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from delivery.channels.base import Channel
from delivery.loops.contents import Version
from delivery.store.claiming import Claimed

AHEAD_SECONDS: Final = 0.1


@dataclass(slots=True)
class Lane:
    """The claimed messages of a channel or a named sender, and how many it takes at once."""

    channel: Channel
    room: int
    waiting: deque["Work"] = field(default_factory=deque)
    resting: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Workers that have nothing to do."""
    called: bool = False
    """One of them, who has not woken yet."""
    held: int = 0
    """Claimed and not yet ended."""
    ahead: int = 0
    """How many it claims beyond its room: as many as it sends in AHEAD_SECONDS."""
    ended: int = 0
    """Since `counted_at`, on the monotonic clock."""
    counted_at: float = 0.0

    @property
    def most(self) -> int:
        """So many it may hold."""
        return self.room + self.ahead

    def free(self, rows_max: int) -> int:
        """How many a claim of at most `rows_max` takes now; 0 where it pays to wait for more room."""
        free = min(self.most - self.held, rows_max)
        return free if free >= max(1, min(self.most // 2, rows_max)) else 0

    def count(self, now: float) -> None:
        """See how fast it is. Nothing is claimed ahead where a sender's death leaves unknown what it held."""
        elapsed = now - self.counted_at
        if elapsed >= AHEAD_SECONDS:
            self.ahead = int(self.ended * AHEAD_SECONDS / elapsed) if self.channel.idempotent else 0
            self.ended, self.counted_at = 0, now

    async def next(self) -> "Work":
        """Wait for one. Who has got one calls a colleague for the next: so as many wake as are needed, and not all."""
        while not self.waiting:
            rest = asyncio.get_running_loop().create_future()
            self.resting.append(rest)
            await rest
            self.called = False
        work = self.waiting.popleft()
        if self.waiting:
            self.call()
        return work

    def call(self) -> None:
        """Wake one worker, where one rests and none has been called."""
        while self.resting and not self.called:
            rest = self.resting.popleft()
            if not rest.done():  # else its worker was cancelled
                rest.set_result(None)
                self.called = True


class Work(NamedTuple):
    """One claimed message on its way."""

    row: Claimed
    version: Version | None
    """That it was planned in; None: it cannot be read here."""
    effective: Version | None
    """That its enrollment runs under; None as well."""
    claimed_at: float
    """On the monotonic clock, before the claim was asked for."""
    start_before: float
    """No later; on that clock."""


def lane_of(name: str) -> str:
    """The lane of a channel (`email`) or of a named sender (`email:promo`)."""
    return name if ":" in name else f"{name}:"
