"""The yardstick does all of the work, and each piece of it once."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from chassis.pool import Conn
from delivery.settings import MIGRATIONS
from enrollment.settings import MIGRATIONS as ENROLLMENT
from messaging import MIGRATIONS as MESSAGING
from testkit.database import fresh_schema, sluice_url
from testkit.stack import Servers

from benchmarks import raw, workload
from benchmarks.arena import BenchmarkFailed

IDS = workload.contact_ids(raw.SENDS_PER_BATCH * 5 + 7)

_DUE = "select enrollment_id, due_active from pending"
_SENT = "select enrollment_id, due_at from message"
_LEFT = "select count(*) from pending where step_id <> $1"
_BOOKED = "select sum(pending), sum(claimed), sum(sent) from books_delta"
_IMPORTED = """
select (select count(distinct enrollment_id) from enrollment),
    (select count(distinct key) from outbox where topic = 'enrollment.events'),
    (select count(distinct key) from outbox where topic = 'enrollment.answers'), (select count(*) from inbox)
"""
_LOSE_ONE = "delete from message where enrollment_id = (select min(enrollment_id::text)::uuid from message);"
_REPEAT_ONE = "insert into message select * from message limit 1;"


@pytest.fixture
async def loops(running: Servers) -> AsyncIterator[Sequence[Conn]]:
    """A connection for each loop, to tables that are empty."""
    async with fresh_schema(running, "delivery", MESSAGING, MIGRATIONS):
        told = {"search_path": "delivery", "timezone": "UTC"}
        opened = [await asyncpg.connect(sluice_url(running.admin_url), server_settings=told) for _ in range(raw.LOOPS)]
        try:
            yield opened
        finally:
            await asyncio.gather(*(conn.close() for conn in opened))


@pytest.mark.stack
@pytest.mark.parametrize("knowing", [False, True])
async def test_the_loops_send_every_message_once_with_the_time_at_which_it_was_due(
    loops: Sequence[Conn], knowing: bool
) -> None:
    conn = loops[0]
    await raw.fill_sends(conn, IDS)
    due = sorted(map(tuple, await conn.fetch(_DUE)))
    rows = raw.prepared(IDS)

    await asyncio.gather(*(raw.write_sends_knowing(one, rows) if knowing else raw.write_sends(one) for one in loops))

    assert len({moment for _, moment in due}) == len(IDS)
    assert sorted(map(tuple, await conn.fetch(_SENT))) == due
    assert await conn.fetchval(_LEFT, workload.SECOND_STEP) == 0
    assert [tuple(row) for row in await conn.fetch(_BOOKED)] == [(0, 0, len(IDS))]
    await raw.complete(conn, "message", len(IDS))


@pytest.mark.stack
@pytest.mark.parametrize("knowing", [False, True])
async def test_a_loop_that_imports_writes_every_enrollment_with_its_event_and_answers_every_command(
    running: Servers, knowing: bool
) -> None:
    rows = raw.prepared(workload.contact_ids(raw.IMPORTS_PER_BATCH + workload.CHUNK_CONTACTS))
    batches = rows[: raw.IMPORTS_PER_BATCH], rows[raw.IMPORTS_PER_BATCH :]
    async with fresh_schema(running, "enrollment", MESSAGING, ENROLLMENT):
        told = {"search_path": "enrollment", "timezone": "UTC"}
        conn = await asyncpg.connect(sluice_url(running.admin_url), server_settings=told)

        await raw.write_imports(conn, batches, knowing=knowing)

        [counted] = await conn.fetch(_IMPORTED)
        await conn.close()
    assert tuple(counted) == (len(rows), len(rows), 3, 3)


@pytest.mark.stack
@pytest.mark.parametrize("missed", [_LOSE_ONE, _LOSE_ONE + _REPEAT_ONE])
async def test_a_rate_is_said_only_where_every_message_was_written_once(loops: Sequence[Conn], missed: str) -> None:
    conn = loops[0]
    await raw.fill_sends(conn, IDS)
    await raw.write_sends(conn)
    await conn.execute(missed)

    with pytest.raises(BenchmarkFailed, match="message"):
        await raw.complete(conn, "message", len(IDS))
