"""Nobody reads another service's schema: the database refuses it."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from devstack.stack import Stack
from testkit.database import sluice_url
from testkit.stack import SERVICES

pytestmark = pytest.mark.stack

PAIRS = [pair for pair in itertools.product(SERVICES, repeat=2) if pair[0] != pair[1]]
TABLE = """
select c.relname from pg_class c where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'p')
order by c.relname limit 1
"""


@asynccontextmanager
async def _as(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    conn = await asyncpg.connect(url)
    try:
        yield conn
    finally:
        await conn.close()


async def _table(stack: Stack, service: str) -> str:
    """Some table of that service."""
    async with _as(sluice_url(stack.addresses.postgres_admin_url)) as admin:
        return f"{service}.{await admin.fetchval(TABLE, service)}"


async def _refused(url: str, *statements: str) -> list[str]:
    """Those of the statements that the database refuses for want of a right."""
    refused = []
    async with _as(url) as conn:
        for statement in statements:
            try:
                await conn.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                refused.append(statement)
    return refused


def _attempts(service: str, table: str) -> tuple[str, ...]:
    return (
        f"select from {table}",
        f"insert into {table} default values",
        f"update {table} set ctid = ctid",
        f"delete from {table}",
        f"truncate {table}",
        f"create table {service}.planted ()",
        f"alter table {table} add column planted text",
        f"drop table {table}",
        f"create function {service}.planted() returns void language sql as ''",
    )


@pytest.mark.parametrize(("service", "other"), PAIRS)
async def test_a_running_service_can_do_nothing_in_anothers_schema(stack: Stack, service: str, other: str) -> None:
    attempts = _attempts(other, await _table(stack, other))

    refused = await _refused(stack.addresses.urls[service], *attempts)

    assert refused == list(attempts)


@pytest.mark.parametrize(("service", "other"), PAIRS)
async def test_a_schemas_owner_can_do_nothing_in_anothers(stack: Stack, service: str, other: str) -> None:
    attempts = _attempts(other, await _table(stack, other))

    refused = await _refused(stack.addresses.migration_urls[service], *attempts)

    assert refused == list(attempts)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_running_service_cannot_change_its_own_tables(stack: Stack, service: str) -> None:
    table = await _table(stack, service)
    attempts = [one for one in _attempts(service, table) if one.startswith(("truncate", "create", "alter", "drop"))]

    refused = await _refused(stack.addresses.urls[service], *attempts)

    assert refused == attempts


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_may_make_anything_outside_the_schemas(stack: Stack, service: str) -> None:
    attempts = ["create table public.planted ()", "create schema planted", "create role planted"]

    refused_app = await _refused(stack.addresses.urls[service], *attempts)
    refused_owner = await _refused(stack.addresses.migration_urls[service], *attempts)

    assert refused_app == attempts
    assert refused_owner == attempts
