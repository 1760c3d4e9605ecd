"""Records in, rows and answers out: the whole service but Kafka, on a real Postgres."""

from collections.abc import AsyncIterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import asyncpg
import orjson
import pytest
from chassis.clock import utc_now
from chassis.pool import Pool
from console import routes
from console.api.server import create
from console.handlers.erasure import erase_some
from console.loops import Snapshots
from console.settings import MIGRATIONS, SCHEMA
from messaging import MIGRATIONS as MESSAGING
from sluice_contracts.base import format_timestamp
from testkit.database import fresh_schema
from testkit.feeder import Feeder, Said
from testkit.stack import Servers

NOW = utc_now().replace(microsecond=1)


def ago(**how_long: float) -> str:
    """A time that is so long gone."""
    return format_timestamp(NOW - timedelta(**how_long))


def step(step_id: str, after: str = "1d", **message: Any) -> dict[str, Any]:
    return {
        "step_id": step_id,
        "after": after,
        "message": {"channel": "email", "subject": "Hi", "text": "Hello"} | message,
    }


def definition(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "Welcome", "campaign": "spring", "steps": list(steps), **more}


TWO = definition(step("welcome", "0s"), step("tips", "2d"))
STATE = {
    "state_version": 1,
    "status": "active",
    "epoch": 0,
    "revision": 1,
    "draft": None,
    "version": 1,
    "published": TWO,
    "in_flight": "follow",
    "clock_offset_seconds": 0.0,
    "updated_at": ago(days=10),
}
PERSON = {
    "state_version": 1,
    "attributes": {"first_name": "canary-name"},
    "tags": ["canary-tag"],
    "addresses": {"email": "canary@example.org"},
    "opted_out": False,
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class World(Feeder):
    """The console but for Kafka, with its API and the words of its tests."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool, service="console", routes=routes.build)
        self.api = create(Snapshots(pool))

    def record(
        self, kind: str, data: Mapping[str, Any], *, at: str | None = None, **more: Any
    ) -> tuple[str, str, bytes]:
        """A message of some time ago, by nobody."""
        time = at or data.get("occurred_at") or ago(days=9)
        return super().record(kind, data, **{"actor": None, "time": time, **more})

    async def told(self, kind: str, /, **data: Any) -> None:
        """One message in a batch of its own."""
        await self.hear(self.record(kind, data))

    async def gone(self, topic: str, key: str) -> None:
        """A tombstone."""
        await self.hear((topic, key, None))

    async def sequence(self, sequence_id: str = "welcome", *, as_: str = "SequencePublished", **state: Any) -> None:
        await self.told(as_, **{**STATE, "sequence_id": sequence_id, **state})

    async def contact(self, contact_id: str = "ada", **state: Any) -> None:
        await self.told("ContactCreated", **{**PERSON, **state, "contact_id": contact_id})

    def about(self, contact_id: str, sequence_id: str, at: str, **more: Any) -> dict[str, Any]:
        return {
            "enrollment_id": f"{contact_id}-in-{sequence_id}",
            "contact_id": contact_id,
            "sequence_id": sequence_id,
            "version": 1,
            "occurred_at": at,
            **more,
        }

    async def enrolled(
        self, contact_id: str = "ada", sequence_id: str = "welcome", *, at: str | None = None, **more: Any
    ) -> None:
        data = self.about(contact_id, sequence_id, at or ago(days=5), **{"via": "command", "contact_offset": 0, **more})
        await self.told("ContactEnrolled", **data)

    async def message(
        self, kind: str, step_id: str, contact_id: str = "ada", sequence_id: str = "welcome", **more: Any
    ) -> None:
        """An event of a message: sent unless said otherwise."""
        at = more.pop("at", None) or ago(days=4)
        data = self.about(contact_id, sequence_id, at, step_id=step_id, channel="email", attempt=1)
        data["message_id"] = f"{contact_id}-{step_id}"
        if kind == "MessageSent":
            data |= {"due_at": at, "sent_at": at}
        await self.told(kind, **data | more)

    async def ended(self, kind: str, contact_id: str = "ada", sequence_id: str = "welcome", **more: Any) -> None:
        at = more.pop("at", None) or ago(days=1)
        await self.told(kind, **self.about(contact_id, sequence_id, at, **more))

    async def ask(self, path: str, /, *, body: Any = None, **query: Any) -> Answer:
        """Ask the API, without a network."""
        return await _ask(self.api, path, urlencode(query), body)

    async def get(self, path: str, /, **query: Any) -> Any:
        """The answer to a question that has one."""
        answer = await self.ask(path, **query)
        assert answer.status == 200, answer
        return answer.body

    async def erase(self) -> list[Said]:
        """What the erasing loop does until nothing is left; what is said then."""
        more = True
        while more:
            async with self.pipeline.begin() as tx:
                more = await erase_some(tx)
        return await self.said()


async def _ask(api: Any, path: str, query: str, body: Any) -> Answer:
    sent: list[MutableMapping[str, Any]] = []
    content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(b"host", b"test"), (b"content-type", b"application/json")],
        "client": ("test", 1),
        "server": ("test", 80),
    }

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await api(scope, receive, send)
    return Answer(sent[0]["status"], orjson.loads(b"".join(one.get("body", b"") for one in sent[1:])))


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened:
        yield opened


@pytest.fixture
async def owner(running: Servers, pool: Pool) -> AsyncIterator[asyncpg.Connection]:
    """The schema's owner, who may drop what was built."""
    conn = await asyncpg.connect(running.migration_urls[SCHEMA], server_settings={"search_path": SCHEMA})
    try:
        yield conn
    finally:
        await conn.close()


@pytest.fixture
def world(pool: Pool) -> World:
    return World(pool)
