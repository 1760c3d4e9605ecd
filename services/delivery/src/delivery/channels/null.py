"""A channel that sends nothing, for benchmarks."""

from collections.abc import Callable

from delivery.channels.base import Outgoing, Result


class NullChannel:
    """Every message is sent at once, and goes nowhere."""

    def __init__(self, name: str, *, idempotent: bool) -> None:
        self.name = name
        self.idempotent = idempotent

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """Check, as every channel does."""
        before_first_byte()
        return Result.sent()
