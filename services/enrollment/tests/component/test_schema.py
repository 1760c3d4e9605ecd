"""The statements fit the schema, and the schema refuses what the rules do not allow."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from shutil import copy

import asyncpg
import pytest
from chassis.migrate import migrate
from chassis.pool import Pool
from enrollment import store
from enrollment.settings import MIGRATIONS
from messaging import MIGRATIONS as MESSAGING
from testkit.database import sluice_url
from testkit.stack import Servers

pytestmark = pytest.mark.stack

OLDER = "enrollment_older"

STATEMENTS = [
    pytest.param(value, id=f"{module.__name__.rsplit('.', 1)[-1]}{name.lower()}")
    for module in (import_module(f"{store.__name__}.{found.name}") for found in iter_modules(store.__path__))
    for name, value in vars(module).items()
    if name.startswith("_") and name.isupper() and isinstance(value, str)
]

ENROLLMENT = """
insert into enrollment (sequence_id, contact_id, enrollment_id, version, contact_offset, enrolled_at)
values ('s', 'c', gen_random_uuid(), 1, 0, clock_timestamp())
"""
CONTACT = "insert into contact (contact_id) values ('c')"
SEQUENCE = "insert into sequence (sequence_id, state_version, status, epoch) values ('s', 1, 'draft', 0)"


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_a_statement_fits_the_migrated_schema(pool: Pool, statement: str) -> None:
    async with pool.acquire() as conn:
        await conn.prepare(statement)


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (ENROLLMENT, "enrollment set status = 'archived'"),
        (ENROLLMENT, "enrollment set status = 'completed'"),
        (ENROLLMENT, "enrollment set ended_at = clock_timestamp()"),
        (ENROLLMENT, "enrollment set status = 'stopped', ended_at = clock_timestamp()"),
        (ENROLLMENT, "enrollment set reason = 'opted_out'"),
        (ENROLLMENT, "enrollment set allow_reentry = true"),
        (ENROLLMENT, "enrollment set version = 0"),
        (CONTACT, "contact set state_version = 1"),
        (CONTACT, "contact set opted_out = true"),
        (CONTACT, "contact set gone_offset = 1"),
        (SEQUENCE, "sequence set status = 'active'"),
        (SEQUENCE, "sequence set status = 'archived'"),
        (SEQUENCE, "sequence set status = 'paused'"),
        (SEQUENCE, "sequence set status = 'paused', epoch = 2, closed_epoch = 1"),
        (SEQUENCE, "sequence set status = 'deleted', closed_epoch = 1, campaign = 'spring'"),
    ],
)
async def test_the_schema_refuses_a_state_that_cannot_be(pool: Pool, row: str, change: str) -> None:
    async with pool.acquire() as conn:
        await conn.execute(row)

        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute(f"update {change}")


async def test_once_per_sequence_and_contact_is_a_key_of_the_database(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute(ENROLLMENT)
        with pytest.raises(asyncpg.UniqueViolationError):
            await conn.execute(ENROLLMENT)

        await conn.execute("update enrollment set status = 'removed', ended_at = now(), allow_reentry = true")
        await conn.execute(ENROLLMENT)

        assert await conn.fetchval("select count(*) from enrollment") == 2


async def test_who_was_inside_before_pins_were_known_follows_the_newest_version(
    running: Servers, tmp_path: Path
) -> None:
    """The schema of before, with rows in it, under a name of its own."""
    url = sluice_url(running.admin_url)
    older = tmp_path / "migrations"
    older.mkdir()
    for name in ("0002_pre_enrollment.sql", "0003_pre_conditions.sql"):
        copy(MIGRATIONS / name, older)
    conn = await asyncpg.connect(url, server_settings={"search_path": OLDER})
    try:
        await migrate(url, OLDER, [MESSAGING, older])
        await conn.execute(
            "insert into sequence (sequence_id, state_version, status, epoch, version, follow_version) values "
            "('published', 1, 'active', 0, 3, null), ('pinned', 1, 'active', 0, 3, 2), "
            "('draft', 1, 'draft', 0, null, null)"
        )

        await migrate(url, OLDER, [MESSAGING, MIGRATIONS])

        rows = await conn.fetch("select sequence_id, follow_version from sequence")
        assert {row[0]: row[1] for row in rows} == {"published": 3, "pinned": 2, "draft": None}
    finally:
        await conn.execute(f"drop schema if exists {OLDER} cascade")
        await conn.close()
