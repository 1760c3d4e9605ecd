"""The statements fit the schema, and the schema refuses what the rules do not allow."""

import asyncpg
import pytest
from chassis.pool import Pool
from delivery.store import (
    attempts,
    booking,
    books,
    claiming,
    contacts,
    control,
    definitions,
    erasures,
    expiring,
    gates,
    halts,
    history,
    lapsed,
    locks,
    markers,
    pending,
    rates,
    replans,
    reports,
    scopes,
    unknown,
)

pytestmark = pytest.mark.stack

MODULES = (
    attempts,
    booking,
    books,
    claiming,
    contacts,
    control,
    definitions,
    erasures,
    expiring,
    gates,
    halts,
    history,
    lapsed,
    locks,
    markers,
    pending,
    rates,
    replans,
    reports,
    scopes,
    unknown,
)
STATEMENTS = {
    f"{module.__name__.rsplit('.', 1)[-1]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if name.startswith("_") and name.isupper() and isinstance(value, str)
}

GATE = (
    "insert into gate (sequence_id, state_version, status, open, epoch, change) values ('s', 1, 'draft', false, 0, 1)"
)
PENDING = """
insert into pending (enrollment_id, sequence_id, contact_id, entered_version, base_active)
values (gen_random_uuid(), 's', 'c', 1, clock_timestamp())
"""
CONTACT = """
insert into contact (contact_id, state_version, source_partition, source_offset) values ('c', 1, 0, 0)
"""
BOOKS = "insert into books (sequence_id) values ('s')"

SCOPE = "insert into scope (scope, status, epoch, changed_at) values ('all', 'running', 0, now())"

IMPOSSIBLE = [
    (GATE, "gate set status = 'archived'"),
    (GATE, "gate set open = true"),
    (GATE, "gate set status = 'active', open = true"),
    (GATE, "gate set epoch = -1"),
    (PENDING, "pending set lane = 'email:'"),
    (PENDING, "pending set lane = 'no lane', version = 1, step_id = 'a', due_active = now()"),
    (PENDING, "pending set token = 1, epoch = 0"),
    (PENDING, "pending set lane = 'email:', version = 1, step_id = 'a', due_active = now(), token = 1"),
    (PENDING, "pending set halted = true"),
    (PENDING, "pending set attempt = -1"),
    (PENDING, "pending set lane = 'withheld:', version = 1, step_id = 'a', due_active = now()"),
    (PENDING, "pending set held_by = 'a person'"),
    (PENDING, "pending set lane = 'email:', held_lane = 'email:', version = 1, step_id = 'a', due_active = now()"),
    (CONTACT, "contact set opted_out_of = '{}'"),
    (CONTACT, 'contact set gone = true, addresses = \'{"email": "ada@example.org"}\''),
    (SCOPE, "scope set status = 'suspended'"),
    (SCOPE, "scope set halted_at = now()"),
    (SCOPE, "scope set restore = '{}'"),
    (SCOPE, "scope set trial = true"),
    (SCOPE, "scope set scope = 'channel:'"),
    (BOOKS, "books set planned = 1"),
    (BOOKS, "books set sent = 1, pending = 1, planned = 1"),
]


async def test_every_statement_fits_the_migrated_schema(pool: Pool) -> None:
    async with pool.acquire() as conn:
        for name, statement in STATEMENTS.items():
            try:
                await conn.prepare(statement)
            except asyncpg.PostgresError as error:
                raise AssertionError(f"{name}: {error}") from error


async def test_the_schema_refuses_states_that_cannot_be(pool: Pool) -> None:
    async with pool.acquire() as conn:
        for row, change in IMPOSSIBLE:
            transaction = conn.transaction()
            await transaction.start()
            await conn.execute(row)
            with pytest.raises(asyncpg.CheckViolationError):
                await conn.execute(f"update {change}")
            await transaction.rollback()


async def test_no_column_that_a_claim_writes_stands_in_an_index(pool: Pool) -> None:
    async with pool.acquire() as conn:
        indexed = await conn.fetch(
            "select distinct a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid "
            "and a.attnum = any(i.indkey::smallint[]) where i.indrelid = 'pending'::regclass"
        )
        partial = await conn.fetch(
            "select pg_get_expr(indpred, indrelid) from pg_index where indrelid = 'pending'::regclass "
            "and indpred is not null"
        )

    assert {row[0] for row in indexed}.isdisjoint({"token", "epoch", "attempt", "halted"})
    assert [row[0] for row in partial] == ["(lane IS NULL)", "(held_by IS NOT NULL)", "(tried_as IS NOT NULL)"]
