"""Sequences but for Kafka, on a real Postgres."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from chassis.pool import Pool
from messaging import MIGRATIONS as MESSAGING
from pydantic import SecretStr
from sequences import routes
from sequences.handlers import erasures, timers
from sequences.settings import MIGRATIONS, SCHEMA, SequencesSettings
from sequences.store import sequences
from testkit.database import fresh_schema
from testkit.feeder import Feeder, Said
from testkit.stack import Servers

CANARY = "canary-7b1f"
STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
DEFINITION = {"name": CANARY, "steps": [STEP]}
RECEIVED = {"closed_at": "2026-03-01T12:00:00Z", "halted_at": "2026-03-01T12:00:00Z"}


class Service(Feeder):
    """Sequences but for Kafka, with the words of its tests."""

    def __init__(self, pool: Pool, settings: SequencesSettings) -> None:
        super().__init__(pool, service="sequences", routes=lambda: routes.build(settings))

    async def ask(self, *asked: tuple[str, Mapping[str, Any]], actor: str = "ann") -> list[Said]:
        """Messages of one topic, by type and data, in one batch."""
        return await self.hear(*[self.record(kind, data, actor=actor) for kind, data in asked])

    async def erase(self) -> list[Said]:
        """What the erasure loop does until nothing is left to do."""
        more = True
        while more:
            async with self.begin() as tx:
                more = await erasures.erase_some(tx, sequences_max=2, versions_max=2)
        return await self.said()

    async def resume_due(self) -> list[Said]:
        """What the loop of the timers does in one round."""
        async with self.pool.acquire() as conn:
            due = await sequences.due(conn, limit=10)
        async with self.begin() as tx:
            await timers.resume_due(due, tx)
        return await self.said()

    async def receive(self, epoch: int, *, sequence_id: str = "welcome") -> list[Said]:
        """Both receipts of a stop."""
        common = {"sequence_id": sequence_id, "epoch": epoch}
        first = await self.ask(("EntryClosed", {**common, "closed_at": RECEIVED["closed_at"]}))
        halted = {**common, "dropped": 5, "in_flight": 1, "halted_at": RECEIVED["halted_at"]}
        return [*first, *await self.ask(("SequenceHalted", halted))]

    async def erased(self, service: str, *, sequence_id: str = "welcome") -> list[Said]:
        return await self.ask(("SequenceErased", {"sequence_id": sequence_id, "service": service, "rows": {"row": 3}}))

    async def published(self, sequence_id: str = "welcome") -> None:
        """A sequence that runs."""
        one = {"sequence_id": sequence_id}
        await self.ask(("SaveSequence", {**one, "definition": DEFINITION}), ("PublishSequence", one))

    async def stopped(self, sequence_id: str = "welcome", **pause: Any) -> None:
        """A sequence that is paused, with both receipts."""
        await self.published(sequence_id)
        await self.ask(("PauseSequence", {"sequence_id": sequence_id, **pause}))
        await self.receive(1, sequence_id=sequence_id)


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened:
        yield opened


@pytest.fixture
def service(pool: Pool) -> Service:
    settings = SequencesSettings(
        database_url=SecretStr("postgresql://unused@127.0.0.1/unused"),
        kafka_bootstrap_servers=["127.0.0.1:1"],
        erasing_services=["sequences", "enrollment", "delivery"],
    )
    return Service(pool, settings)
