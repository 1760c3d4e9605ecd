"""What a contact has been through before costs nothing where one of its enrollments is looked up or ended."""

from datetime import UTC, datetime

import pytest
from chassis.pool import Conn, Pool
from enrollment.domain.ending import End, Ended
from enrollment.store import enrollments

pytestmark = pytest.mark.stack

CONTACTS = 100
BEFORE = 200
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

HISTORY = """
insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at, status, ended_at)
select 's' || s, 'c' || c, gen_random_uuid(), 1, 0, $3::timestamptz,
    case when s < $2 then 'completed' else 'active' end, case when s < $2 then $3::timestamptz end
from generate_series(1, $1::int) as c, generate_series(0, $2::int) as s
"""
LIVING = "select sequence_id, contact_id, enrollment_id::text from enrollment where status = 'active'"
READ = "select idx_tup_fetch + seq_tup_read from pg_stat_xact_user_tables where relid = 'enrollment'::regclass"


async def read(conn: Conn) -> int:
    return int(await conn.fetchval(READ) or 0)


@pytest.mark.parametrize("analyzed", [True, False])
async def test_only_what_is_named_is_read(pool: Pool, analyzed: bool) -> None:
    async with pool.acquire() as conn:
        await conn.execute(HISTORY, CONTACTS, BEFORE, NOW)
        if analyzed:
            await conn.execute("analyze enrollment")
        living = [tuple(row) for row in await conn.fetch(LIVING)]
        async with conn.transaction():
            before = await read(conn)
            found = await enrollments.live(conn, living)
            looked_up = await read(conn)
            await enrollments.end(conn, [End(one, Ended.COMPLETED, NOW) for one in found.values()])
            ended = await read(conn)

    assert len(found) == CONTACTS
    assert looked_up - before <= 3 * CONTACTS
    assert ended - looked_up <= 3 * CONTACTS
