"""Enrollment but for Kafka, on a real Postgres."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from chassis.pool import Pool
from enrollment import routes
from enrollment.handlers.erasure import erase_some
from enrollment.loops import ParkedLoop
from enrollment.settings import MIGRATIONS, SCHEMA
from messaging import MIGRATIONS as MESSAGING
from testkit.database import fresh_schema
from testkit.feeder import Feeder, Said
from testkit.stack import Servers

STEP = {"step_id": "welcome", "after": "0s", "message": {"channel": "email", "subject": "Hi", "text": "Hello"}}
STATE = {
    "state_version": 1,
    "status": "active",
    "epoch": 0,
    "revision": 1,
    "draft": None,
    "version": 1,
    "published": {"name": "Welcome", "steps": [STEP]},
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": "2026-03-01T12:00:00Z",
}
PERSON = {"state_version": 1, "attributes": {}, "tags": [], "addresses": {"email": "a@example.org"}, "opted_out": False}


class World(Feeder):
    """Enrollment but for Kafka, with the words of its tests."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, service="enrollment", routes=routes.build)
        self.loop = self.restarted_loop()

    def restarted_loop(self) -> ParkedLoop:
        self.loop = ParkedLoop(self, parked_seconds_max=10.0)  # type: ignore[arg-type]
        return self.loop

    def record(self, kind: str, data: Mapping[str, Any], **more: Any) -> tuple[str, str, bytes]:
        """An import is a chunk of its own."""
        if kind == "EnrollContacts":
            more.setdefault("key", f"{data['sequence_id']}:{next(self.numbers)}")
        return super().record(kind, data, **more)

    async def ask(self, kind: str, /, **data: Any) -> list[Said]:
        """One message in a batch of its own."""
        return await self.hear(self.record(kind, data))

    async def sequence(
        self, sequence_id: str = "welcome", *, as_: str = "SequencePublished", **state: Any
    ) -> list[Said]:
        """A state of a sequence; an active one unless said otherwise."""
        return await self.ask(as_, **{**STATE, "sequence_id": sequence_id, **state})

    async def pause(self, sequence_id: str = "welcome", *, state_version: int = 2, epoch: int = 1) -> list[Said]:
        return await self.sequence(
            sequence_id, as_="SequencePaused", status="paused", state_version=state_version, epoch=epoch
        )

    async def delete(self, sequence_id: str = "welcome", *, state_version: int = 9, epoch: int = 1) -> list[Said]:
        gone = {"status": "deleted", "state_version": state_version, "epoch": epoch, "published": None}
        return await self.sequence(sequence_id, as_="SequenceDeleted", **gone)

    async def contacts(self, *contact_ids: str, **state: Any) -> list[Said]:
        """Contacts that are there."""
        people = [{**PERSON, **state, "contact_id": contact_id} for contact_id in contact_ids]
        return await self.hear(*[self.record("ContactCreated", person) for person in people])

    async def enroll(self, contact_id: str = "c", sequence_id: str = "welcome") -> list[Said]:
        return await self.ask("EnrollContact", contact_id=contact_id, sequence_id=sequence_id)

    async def import_on(self, partition: int, *chunks: Sequence[str]) -> None:
        """Imports in a partition of their own, one after the other, as another process would handle them."""
        other = World(self.pool)
        for contact_ids in chunks:
            data = {"sequence_id": "welcome", "contact_ids": contact_ids}
            await other.feed(other.record("EnrollContacts", data, source=f"importer-{partition}"), partition=partition)

    async def caught_up(self, seconds_ago: float, *topics: str) -> None:
        """The readers of these topics had caught up so long ago."""
        async with self.pool.acquire() as conn:
            await conn.execute(
                "update consumer_offset set caught_up_at = clock_timestamp() - make_interval(secs => $1) "
                "where topic = any($2::text[])",
                seconds_ago,
                topics,
            )

    async def age_parked(self, seconds: float) -> None:
        async with self.pool.acquire() as conn:
            await conn.execute("update parked set parked_at = parked_at - make_interval(secs => $1)", seconds)

    async def decide_parked(self) -> list[Said]:
        """What the loop does until nothing is left to do; what is said then."""
        while await self.loop.decide_some():
            pass
        return await self.said()

    async def erase(self) -> list[Said]:
        """What the erasure loop does until nothing is left to do; what is said then."""
        more = True
        while more:
            async with self.begin() as tx:
                more = await erase_some(tx)
        return await self.said()


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened:
        yield opened


@pytest.fixture
def world(pool: Pool) -> World:
    return World(pool)
