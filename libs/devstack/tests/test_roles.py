"""deploy/postgres/roles.sql: each role reaches its own schema and is refused everywhere else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from devstack import roles
from devstack.layout import repository
from devstack.roles import SERVICES
from devstack.stack import Addresses, Stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.at(tmp_path_factory.mktemp("roles"))
    stack.start(services=False)
    yield stack
    stack.reset()


@pytest.fixture(scope="module")
def addresses(stack: Stack) -> Addresses:
    return stack.addresses


@pytest.fixture(scope="module", autouse=True)
def tables(addresses: Addresses) -> None:
    asyncio.run(_make_tables(addresses))


async def _make_tables(addresses: Addresses) -> None:
    for service in SERVICES:
        owner = await asyncpg.connect(addresses.migration_urls[service])
        await owner.execute("create table thing (id bigint generated always as identity, word text)")
        await owner.execute("create function double(n int) returns int language sql as 'select n * 2'")
        await owner.close()


async def refused(url: str, statement: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await connection.close()
    return False


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reads_and_writes_rows_of_its_own_schema_without_naming_it(
    addresses: Addresses, service: str
) -> None:
    app = await asyncpg.connect(addresses.urls[service])

    await app.execute("insert into thing (word) values ('a')")
    await app.execute("update thing set word = 'b'")
    assert await app.fetchval("select word from thing") == "b"
    assert await app.fetchval("select double(21)") == 42
    await app.execute("delete from thing")
    await app.close()


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["app", "owner"])
async def test_a_role_is_refused_in_every_other_schema(addresses: Addresses, service: str, kind: str) -> None:
    url = (addresses.urls if kind == "app" else addresses.migration_urls)[service]

    for other in set(SERVICES) - {service}:
        assert await refused(url, f"select * from {other}.thing")
        assert await refused(url, f"insert into {other}.thing (word) values ('x')")
        assert await refused(url, f"delete from {other}.thing")
        assert await refused(url, f"select {other}.double(1)")
        assert await refused(url, f"create table {other}.mine ()")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "statement",
    [
        "create table mine ()",
        "drop table thing",
        "alter table thing add column more int",
        "truncate thing",
        "create schema mine",
        "create table public.mine ()",
        "create temporary table mine ()",
        "create role mine",
        "set role postgres",
        "set role {service}_owner",
        "select pg_read_file('/etc/passwd')",
    ],
)
async def test_a_service_may_change_rows_and_nothing_else(addresses: Addresses, service: str, statement: str) -> None:
    assert await refused(addresses.urls[service], statement.format(service=service))


async def test_a_frozen_transaction_loses_its_locks_after_two_seconds(addresses: Addresses) -> None:
    app = await asyncpg.connect(addresses.urls["delivery"])

    assert await app.fetchval("show idle_in_transaction_session_timeout") == "2s"
    assert await app.fetchval("show statement_timeout") == "30s"
    assert await app.fetchval("show lock_timeout") == "10s"
    await app.close()


async def test_the_file_may_be_run_again_and_keeps_passwords_that_are_not_given(
    stack: Stack, addresses: Addresses
) -> None:
    file = repository(Path.cwd()) / "deploy" / "postgres" / "roles.sql"
    admin = await asyncpg.connect(addresses.postgres_admin_url)

    await admin.execute(file.read_text())
    await admin.close()

    for url in (*addresses.urls.values(), *addresses.migration_urls.values()):
        connection = await asyncpg.connect(url)
        await connection.close()


async def test_a_new_role_without_a_password_is_refused_by_name(addresses: Addresses) -> None:
    file = repository(Path.cwd()) / "deploy" / "postgres" / "roles.sql"
    admin = await asyncpg.connect(addresses.postgres_admin_url)

    with pytest.raises(asyncpg.RaiseError, match="no password for the new role billing_owner"):
        await admin.execute(file.read_text().replace("'delivery'", "'billing'"))
    await admin.close()


def test_passwords_are_made_once(stack: Stack) -> None:
    assert roles.passwords(stack.layout) == roles.passwords(stack.layout)
