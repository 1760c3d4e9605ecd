"""The statements fit the schema, and the schema refuses what the rules do not allow."""

from importlib import import_module
from pkgutil import iter_modules

import asyncpg
import pytest
from chassis.pool import Pool
from sequences import store

pytestmark = pytest.mark.stack

STATEMENTS = [
    pytest.param(value, id=f"{module.__name__.rsplit('.', 1)[-1]}{name.lower()}")
    for module in (import_module(f"{store.__name__}.{found.name}") for found in iter_modules(store.__path__))
    for name, value in vars(module).items()
    if name.startswith("_") and name.isupper() and isinstance(value, str)
]

DRAFT = """
insert into sequence (
    sequence_id, state_version, status, epoch, revision, draft, in_flight, clock_offset_us, updated_at
)
values ('a', 1, 'draft', 0, 1, '{}', 'follow', 0, clock_timestamp())
"""
PAUSED = """
insert into sequence (
    sequence_id, state_version, status, epoch, revision, version, in_flight, clock_offset_us, updated_at, paused_at
)
values ('a', 3, 'paused', 1, 1, 1, 'follow', 0, clock_timestamp(), clock_timestamp())
"""


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_a_statement_fits_the_migrated_schema(pool: Pool, statement: str) -> None:
    async with pool.acquire() as conn:
        await conn.prepare(statement)


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (DRAFT, "status = 'archived'"),
        (DRAFT, "epoch = -1"),
        (DRAFT, "status = 'active'"),
        (DRAFT, "draft = null"),
        (DRAFT, "entry_closed_at = clock_timestamp()"),
        (DRAFT, "status = 'deleted', draft = null"),
        (DRAFT, "deletion = '{}'"),
        (PAUSED, "paused_at = null"),
        (PAUSED, "resumed_at = clock_timestamp()"),
        (PAUSED, "status = 'active', resumed_at = paused_at - interval '1 s'"),
        (PAUSED, "halted_at = clock_timestamp()"),
        (PAUSED, "halted_at = clock_timestamp(), dropped = -1, in_flight_sends = 0"),
        (PAUSED, "erased_at = clock_timestamp()"),
        (PAUSED, "clock_offset_us = -1"),
        (PAUSED, "status = 'deleted', deletion = '{}', draft = '{}'"),
        (PAUSED, "status = 'active', resume_asked = '{}'"),
        (PAUSED, "resume_at = clock_timestamp()"),
        (PAUSED, "resume_at_asked = '{}'"),
        (PAUSED, "status = 'active', resume_at = clock_timestamp(), resume_at_asked = '{}'"),
        (PAUSED, "overdue = 'later'"),
        (PAUSED, "admit = 'everybody'"),
        (PAUSED, "max_lateness = '2h'"),
        (PAUSED, "overdue = 'skip', max_lateness = '2h'"),
        (PAUSED, "follow_version = 2"),
        (DRAFT, "follow_version = 1"),
    ],
)
async def test_the_schema_refuses_a_state_that_cannot_be(pool: Pool, row: str, change: str) -> None:
    async with pool.acquire() as conn:
        await conn.execute(row)

        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute(f"update sequence set {change}")


async def test_a_version_belongs_to_a_sequence_and_outlives_none(pool: Pool) -> None:
    keep = "insert into version (sequence_id, version, definition, published_at) values ('a', 1, '{}', now())"
    async with pool.acquire() as conn:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await conn.execute(keep)
        await conn.execute(PAUSED)
        await conn.execute(keep)

        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await conn.execute("delete from sequence")
