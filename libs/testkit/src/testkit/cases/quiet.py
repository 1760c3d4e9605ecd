"""Whether the services have done all that is due: then, and only then, the clock is set forward."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg
from chassis.clock import monotonic, sleep
from sluice import Sluice
from sluice.transport import Place

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

POLL_SECONDS: Final = 0.03
QUIET_SECONDS_MAX: Final = 60.0
LOOKS: Final = 3
"""So often in a row nothing may be left to do, and nothing may have moved in between."""

_OUTBOX: Final = "select count(*) from {schema}.outbox"
_OFFSETS: Final = "select topic, partition, next_offset from {schema}.consumer_offset"

# Numbers are taken before what they stand for is committed, and are never given back.
_NUMBERS: Final = "select pg_sequence_last_value('{counter}')"

# What delivery has still to do at this moment. A message that is kept back, or that is unknown, waits for others; who
# entered when enrollment had not heard of a pause yet waits for its end.
_DELIVERY: Final = """
select
    (select count(*) from delivery.claim) as claims,
    (select count(*) from delivery.replan) as replans,
    (select count(*) from delivery.sequence_halt) + (select count(*) from delivery.contact_halt) as receipts,
    (select count(*) from delivery.erasure) as erasures,
    (select count(*) from delivery.pending p join delivery.gate g using (sequence_id)
        where p.lane is null and g.version is not null and g.status <> 'deleted'
            and (p.version is not null or g.paused_at is null or p.base_active <= g.paused_at)) as unplanned,
    (select count(*) from delivery.pending p join delivery.gate g using (sequence_id)
        where g.open and p.token is null and p.lane not like 'withheld:%'
            and p.due_active <= {clock} - g.clock_offset and {open}) as due
"""

# What a suspension or a rate holds up is not due. A lane is free again when its rate has filled up to one send.
_OPEN: Final = """
not exists (
    select from delivery.scope s
    where s.status <> 'running' and s.scope in
        ('all', 'channel:' || split_part(p.lane, ':', 1), 'sender:' || split_part(p.lane, ':', 2))
) and not exists (
    select from delivery.lane_rate r
    where r.lane = p.lane and r.spent_until + make_interval(secs => {period}) > {clock}
)
"""

_NEXT: Final = """
select min(at) from (
    select min(p.due_active + g.clock_offset) as at
    from delivery.pending p join delivery.gate g using (sequence_id)
    where g.open and p.token is null and p.lane is not null and p.lane not like 'withheld:%'
        and p.due_active > $1::timestamptz - g.clock_offset
    union all
    select min(r.spent_until + make_interval(secs => {period}))
    from delivery.lane_rate r where r.spent_until + make_interval(secs => {period}) > $1::timestamptz and exists (
        select from delivery.pending p join delivery.gate g using (sequence_id) where g.open and p.lane = r.lane
    )
    union all
    select min(resume_at) from sequences.sequence where status = 'paused' and resume_at > $1::timestamptz
) as moments
"""

_SEQUENCES: Final = """
select count(*) as resumes from sequences.sequence where status = 'paused' and resume_at <= {clock}
"""

_ENROLLMENT: Final = """
select (select count(*) from enrollment.parked where waits_for is null) as parked,
    (select count(*) from enrollment.erasure) as erasures, (select count(*) from enrollment.ended_pause) as admissions
"""

CLOCK: Final = "(select pg_catalog.clock_timestamp() + ahead from test_clock.shift)"


class TooBusy(Exception):
    """The services have not come to rest; the text says what is left."""


class Quiet:
    """Looks into every schema, as a superuser, and compares what was read with what stands on the topics.

    `period_seconds` is what lies between two sends of a lane that has a rate.
    """

    def __init__(self, conn: Connection, sluice: Sluice, schemas: Sequence[str], *, period_seconds: int) -> None:
        self._conn = conn
        self._sluice = sluice
        self._schemas = list(schemas)
        self._period_seconds = period_seconds
        self._counters = [*(f"{schema}.outbox_seq_seq" for schema in schemas), "delivery.claim_token"]
        self._read = 0
        """How many records have been read, by all services together."""
        self._numbers: list[int | None] = []
        """What had been said and claimed when it was quiet."""
        self._looked_at: datetime | None = None

    async def wait(self) -> None:
        """Return once nothing is left to do; TooBusy where that takes too long."""
        deadline = monotonic() + QUIET_SECONDS_MAX
        quiet, read = 0, -1
        while quiet < LOOKS:
            before = await self._taken()
            left = await self.left()
            quiet = 0 if left or (self._read, before) != (read, self._numbers) else quiet + 1
            read, self._numbers = self._read, before
            if monotonic() > deadline:
                told = ", ".join(f"{what}: {count}" for what, count in left.items())
                raise TooBusy(told or "something goes on all the time")
            await sleep(POLL_SECONDS)

    async def left(self) -> dict[str, int]:
        """What there is to do now, by name; nothing where all is quiet."""
        self._looked_at = await self._conn.fetchval(f"select {CLOCK}")
        left: dict[str, int] = {}
        for schema in self._schemas:
            left[f"{schema}.outbox"] = await self._conn.fetchval(_OUTBOX.format(schema=schema))
        for prefix, statement in (("delivery", _DELIVERY), ("enrollment", _ENROLLMENT), ("sequences", _SEQUENCES)):
            row = await self._conn.fetchrow(self._filled(statement))
            left |= {f"{prefix}.{what}": count for what, count in dict(row or {}).items()}
        if not any(left.values()):
            left["unread"] = await self._unread()
        return {what: count for what, count in left.items() if count}

    async def next_due(self) -> datetime | None:
        """When something becomes due by itself; None where nothing ever does.

        The clock goes on meanwhile. What became due since the last look is not done yet, or has left the queue and is
        under way: then it is not quiet any more, and the moment is one that is over.
        """
        moment: datetime | None = await self._conn.fetchval(self._filled(_NEXT), self._looked_at)
        return moment if await self._taken() == self._numbers else self._looked_at

    async def _taken(self) -> list[int | None]:
        return [await self._conn.fetchval(_NUMBERS.format(counter=name)) for name in self._counters]

    def _filled(self, statement: str) -> str:
        filled = {"clock": CLOCK, "period": self._period_seconds}
        return statement.format(open=_OPEN.format(**filled), **filled)

    async def _unread(self) -> int:
        read = {
            (schema, row[0], row[1]): row[2]
            for schema in self._schemas
            for row in await self._conn.fetch(_OFFSETS.format(schema=schema))
        }
        self._read = sum(read.values())
        ends = await self._sluice.transport.ends(list({Place(topic, number) for _, topic, number in read}))
        return sum(max(0, ends[Place(topic, number)] - next_) for (_, topic, number), next_ in read.items())
