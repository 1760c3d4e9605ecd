"""The sink, as a test tells it to misbehave."""

from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class SinkControl:
    """Rules for what the sink does with messages to some recipients; all are lifted after the test."""

    url: str

    async def behave(self, channel: str, mode: str, *, match: str, **more: Any) -> None:
        """`mode` for every message on `channel` whose recipient has `match` in it (see devstack.sink.behaviour)."""
        rule = {"channel": channel, "mode": mode, "match": match, **more}
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/_sink/behaviour", json=rule) as answer:
            assert answer.status == 200, await answer.text()

    async def forgive(self) -> None:
        """Behave again."""
        async with aiohttp.ClientSession() as session, session.delete(f"{self.url}/_sink/behaviour") as answer:
            assert answer.status == 200
