"""The statements fit the schema, and the schema refuses what cannot be."""

from importlib import import_module
from pkgutil import iter_modules

import asyncpg
import pytest
from chassis.pool import Pool
from console import store

pytestmark = pytest.mark.stack

MODULES = [import_module(f"{store.__name__}.{found.name}") for found in iter_modules(store.__path__)]
STATEMENTS = [
    pytest.param(value, id=f"{module.__name__.rsplit('.', 1)[-1]}{name.lower()}")
    for module in MODULES
    for name, value in vars(module).items()
    if name.startswith("_") and name.isupper() and isinstance(value, str) and not value.lstrip().startswith("truncate")
]
ENROLLMENT = "insert into enrollment (enrollment_id, contact_id) values ('e', 'c')"
EVENT = """
insert into event (event_id, at, kind, contact_id, detail)
values (gen_random_uuid(), clock_timestamp(), 'sent', 'c', '{}')
"""
CONTACT = "insert into contact (contact_id, state_version, source_offset) values ('c', 1, 0)"
ERASURE = "insert into erasure (subject, id) values ('sequence', 's')"


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
        (ENROLLMENT, "enrollment set version = 1"),
        (ENROLLMENT, "enrollment set version = 1, enrolled_at = clock_timestamp()"),
        (EVENT, "event set step_id = 'welcome'"),
        (CONTACT, "contact set state_version = null"),
        (CONTACT, "contact set state_version = null, source_offset = null"),
        (ERASURE, "erasure set before = 1"),
        (ERASURE, "erasure set subject = 'contact'"),
    ],
)
async def test_the_schema_refuses_a_state_that_cannot_be(pool: Pool, row: str, change: str) -> None:
    async with pool.acquire() as conn:
        await conn.execute(row)

        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute(f"update {change}")
