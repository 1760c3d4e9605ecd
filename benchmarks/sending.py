"""Sender processes alone: a queue that is filled by hand, a gate that is opened, and how fast all of it is sent.

Nobody else runs: no planner, no relay, no console. In place of the readers of the control topics, whom nobody tells
anything here, the benchmark itself confirms that they have caught up; without that no sender would send.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from chassis.clock import sleep, utc_now
from chassis.pool import Conn
from delivery.store.control import CONTROL_TOPICS
from devstack.stack import Stack
from testkit.database import vouched

from benchmarks import workload
from benchmarks.arena import NULL_CHANNELS, database, until

BEAT_SECONDS: Final = 0.2
READY_SECONDS_MAX: Final = 30.0
WORK_SECONDS_MAX: Final = 300.0

_HEARD: Final = """
insert into delivery.consumer_offset (topic, partition, partitions, next_offset)
select topic, 0, 1, 0 from unnest($1::text[]) as topic on conflict do nothing
"""
_BEAT: Final = "update delivery.consumer_offset set beat = beat + 1, caught_up_at = clock_timestamp()"
_PUBLISH: Final = """
with published as (
    insert into delivery.definition (sequence_id, version, definition)
    select sequence_id, 1, $2 from unnest($1::text[]) as sequence_id
)
insert into delivery.gate (sequence_id, state_version, status, open, epoch, version, follow_version, change)
select sequence_id, 1, 'active', false, 1, 1, 1, nextval('delivery.gate_change') from unnest($1::text[]) as sequence_id
"""
_TURN: Final = "update delivery.gate set open = $1, change = nextval('delivery.gate_change')"
_EMPTY: Final = "truncate delivery.pending, delivery.message, delivery.outbox, delivery.books_delta, delivery.claim"
# Ids as imports of a thousand make them.
_FILL: Final = """
insert into delivery.pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane,
    due_active, base_active)
select (left(md5($6::text || n / 1000), 12) || right(md5(contact_id || $6), 20))::uuid, $1, contact_id, 1, 1, $3, $4,
    $5::timestamptz + n * $7::interval, $5
from unnest($2::text[]) with ordinality as row (contact_id, n)
"""
_SERVING: Final = "select count(*) from delivery.lane_server"
_SENT: Final = "select coalesce(sum(sent), 0) from delivery.books_delta"
_LAST: Final = "select max(ended_at) from delivery.message"


@dataclass(slots=True)
class Sending:
    """Sequences whose first step goes to one lane, contacts that are known, and processes that send."""

    stack: Stack
    conn: Conn
    contacts: Sequence[str]
    definition: Mapping[str, Any] = field(default_factory=lambda: workload.DEFINITION)
    lane: str = workload.LANE
    sequences: Sequence[str] = ("bench-1",)
    processes: int = 2
    env: Mapping[str, str] = field(default_factory=lambda: NULL_CHANNELS)
    log: int | None = None
    """Where log lines go: `asyncio.subprocess.DEVNULL`; None: to the terminal."""

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[None]:
        """Publish, and confirm all the while that stops are heard."""
        await self.publish()
        beats = asyncio.create_task(self._beat())
        try:
            async with vouched(self.stack.addresses.urls["delivery"], "delivery"):
                yield
        finally:
            beats.cancel()
            with suppress(asyncio.CancelledError):
                await beats

    async def publish(self) -> None:
        """Publish with closed gates, and make the contacts known."""
        await self.conn.execute("truncate delivery.gate, delivery.definition, delivery.contact")
        await self.conn.execute(_HEARD, CONTROL_TOPICS)
        await self.conn.execute(_PUBLISH, self.sequences, orjson.dumps(self.definition).decode())
        await self.conn.execute(workload.KNOW_CONTACTS, self.contacts)
        await self.conn.execute("vacuum analyze delivery.contact")

    async def fill(self, *, due: datetime, every: timedelta = timedelta(microseconds=1)) -> None:
        """All of it planned and not yet sent, shared out evenly among the sequences, one due after the other."""
        await self.conn.execute(_EMPTY)
        step = self.definition["steps"][0]["step_id"]
        for number, sequence_id in enumerate(self.sequences):
            contacts = self.contacts[number :: len(self.sequences)]
            await self.conn.execute(_FILL, sequence_id, contacts, step, self.lane, due, sequence_id, every)
        await self.conn.execute("vacuum analyze delivery.pending")
        await self.conn.execute("checkpoint")

    async def fill_and_send(self) -> float:
        """The queue filled with what is due, and sent: messages a second."""
        await self.fill(due=utc_now() - timedelta(minutes=1))
        return await self.send_all()

    async def send_all(self) -> float:
        """Messages a second, from the opening of the gates to the last one booked, by the database's clock."""
        async with self.senders():
            opened: datetime = await self.conn.fetchval("select clock_timestamp()")
            await self.turn(opened=True)

            async def all_sent() -> bool:
                return int(await self.conn.fetchval(_SENT)) >= len(self.contacts)

            await until("every message is sent", all_sent, seconds_max=WORK_SECONDS_MAX)
            last: datetime = await self.conn.fetchval(_LAST)
            await self.turn(opened=False)
        return len(self.contacts) / (last - opened).total_seconds()

    async def rate(self) -> float:
        """All of it prepared, filled with what is due, and sent: messages a second."""
        async with self.prepared():
            return await self.fill_and_send()

    async def turn(self, *, opened: bool) -> None:
        """Open or close every gate, and tell."""
        await self.conn.execute(_TURN, opened)
        await self.conn.execute("select pg_notify('delivery.gate', '')")

    @asynccontextmanager
    async def senders(self) -> AsyncIterator[list["asyncio.subprocess.Process"]]:
        """Sender processes that are ready and wait for a gate to open."""
        await self.conn.execute("truncate delivery.lane_server")
        env = os.environ | {
            "SLUICE_DATABASE_URL": self.stack.addresses.urls["delivery"],
            "SLUICE_KAFKA_BOOTSTRAP_SERVERS": self.stack.addresses.kafka[0],
            "SLUICE_HEALTH_PORT": "0",
            "SLUICE_LOG_LEVEL": "warning",
            **self.env,
        }
        argv = (sys.executable, "-m", "delivery", "send")
        running = [await asyncio.create_subprocess_exec(*argv, env=env, stdout=self.log) for _ in range(self.processes)]
        try:

            async def serving() -> bool:
                return int(await self.conn.fetchval(_SERVING)) >= self.processes

            await until("the senders are ready", serving, seconds_max=READY_SECONDS_MAX)
            await sleep(1.0)  # their first look at the gates and at the heartbeats
            yield running
        finally:
            for process in running:
                with suppress(ProcessLookupError):
                    process.terminate()
            for process in running:
                await process.wait()

    async def _beat(self) -> None:
        async with database(self.stack) as conn:
            while True:
                await conn.execute(_BEAT)
                await sleep(BEAT_SECONDS)
