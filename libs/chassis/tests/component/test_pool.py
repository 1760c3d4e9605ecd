"""The pool on a real Postgres: what its sessions run under, and which of its errors are outages."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from chassis.clock import sleep
from chassis.pool import (
    UNHEARD_SECONDS_MAX,
    Conn,
    DatabaseUnreachable,
    Pool,
    connection_settings,
    create_pool,
    is_transient,
    session,
)
from pydantic import SecretStr
from testkit.database import settings
from testkit.proxy import LOOPBACK, Network
from testkit.stack import Servers

pytestmark = pytest.mark.stack


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    pool = await create_pool(settings(running, "sequences"), schema="sequences", application="sequences-test")
    try:
        yield pool
    finally:
        pool.terminate()


async def test_sessions_run_under_the_settings_of_the_chassis(pool: Pool) -> None:
    names = list(connection_settings("sequences", "sequences-test"))

    shown = [await pool.fetchval("select current_setting($1)", name) for name in names]

    assert dict(zip(names, shown, strict=True)) == {
        "search_path": "sequences, pg_catalog",
        "application_name": "sequences-test",
        "timezone": "UTC",
        "jit": "off",
        "enable_seqscan": "off",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "2s",
        "tcp_keepalives_idle": "2",
        "tcp_keepalives_interval": "2",
        "tcp_user_timeout": "10000",
    }


async def test_a_plan_of_when_a_queue_was_empty_does_not_walk_through_it_when_it_is_full(
    pool: Pool, admin: Conn
) -> None:
    await admin.execute("create table sequences.waiting (id bigint primary key)")
    try:
        await admin.execute("grant select on sequences.waiting to sequences_app")
        await admin.execute("vacuum analyze sequences.waiting")
        async with pool.acquire() as conn:
            oldest = await conn.prepare("select id from waiting where id > $1 order by id limit $2", name="oldest")
            for _ in range(10):  # by then Postgres keeps one plan for all
                await oldest.fetch(0, 10)
            await admin.execute("insert into sequences.waiting select generate_series(1, 10_000)")
            plan = [row[0] for row in await conn.fetch("explain execute oldest(0, 10)")]
    finally:
        await admin.execute("drop table sequences.waiting")

    assert any("$1" in line for line in plan), "another plan was made: this shows nothing"
    assert not any("Seq Scan" in line for line in plan), plan


async def test_a_session_that_the_server_ended_is_an_outage_and_the_pool_recovers(pool: Pool, admin: Conn) -> None:
    async with pool.acquire() as conn:
        await admin.execute("select pg_terminate_backend($1)", conn.get_server_pid())
        with pytest.raises(Exception) as during:  # noqa: PT011 - asyncpg raises one of several
            await conn.fetchval("select 1")
        with pytest.raises(Exception) as afterwards:  # noqa: PT011
            await conn.fetchval("select 1")

    assert is_transient(during.value)
    assert is_transient(afterwards.value)
    assert await pool.fetchval("select 1") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the proxy loses connections on Linux alone")
async def test_a_connection_that_leads_nowhere_any_more_is_over_at_both_ends(running: Servers, admin: Conn) -> None:
    own = settings(running, "sequences")
    url, target = running.urls["sequences"], urlsplit(running.urls["sequences"]).port or 5432
    with socket.create_server((LOOPBACK, 0)) as free:
        listen = free.getsockname()[1]
    network = await Network.start({"postgres": (listen, target)})
    through = SecretStr(url.replace(f":{target}/", f":{listen}/"))
    pool = await create_pool(own.model_copy(update={"database_url": through}), schema="sequences")
    try:
        async with session(pool) as conn:
            await conn.execute("select pg_advisory_lock(4712)")
            await network.set("postgres", "lose")
            async with asyncio.timeout(2 * UNHEARD_SECONDS_MAX):
                with pytest.raises(Exception) as found_out:  # noqa: PT011 - asyncpg raises one of several
                    await conn.fetchval("select 1")
        async with asyncio.timeout(UNHEARD_SECONDS_MAX):
            while not await admin.fetchval("select pg_try_advisory_lock(4712)"):
                await sleep(0.1)
        await network.set("postgres", "pass")

        assert is_transient(found_out.value)
        assert await pool.fetchval("select 1") == 1
    finally:
        await admin.execute("select pg_advisory_unlock_all()")
        pool.terminate()
        await network.stop()


async def test_what_a_session_held_and_listened_to_ends_with_its_block(pool: Pool, admin: Conn) -> None:
    heard: list[object] = []
    async with session(pool) as conn:
        await conn.execute("select pg_advisory_lock(4711)")
        await conn.add_listener("news", lambda *one: heard.append(one))
        held = await admin.fetchval("select pg_try_advisory_lock(4711)")
        pid = conn.get_server_pid()

    async with pool.acquire() as conn:
        await admin.execute("notify news")
        await conn.execute("select")
        assert (conn.get_server_pid(), heard, held) == (pid, [], False)
    assert await admin.fetchval("select pg_try_advisory_lock(4711)")
    await admin.execute("select pg_advisory_unlock(4711)")


@pytest.mark.parametrize(
    ("before", "statement"),
    [
        ("set statement_timeout = '20ms'", "select pg_sleep(5)"),
        ("set default_transaction_read_only = on", "create temporary sequence s; create table sequences.t ()"),
    ],
    ids=["a statement that took too long", "a standby"],
)
async def test_an_outage_in_a_statement_is_transient(before: str, statement: str, pool: Pool) -> None:
    async with pool.acquire() as conn:
        await conn.execute(before)
        with pytest.raises(asyncpg.PostgresError) as raised:
            await conn.execute(statement)

    assert is_transient(raised.value)


async def test_a_lock_that_is_not_to_be_had_is_transient(pool: Pool) -> None:
    async with pool.acquire() as one, pool.acquire() as other, one.transaction(), other.transaction():
        await one.execute("select pg_advisory_xact_lock(7)")
        await other.execute("set local lock_timeout = '20ms'")
        with pytest.raises(asyncpg.LockNotAvailableError) as raised:
            await other.execute("select pg_advisory_xact_lock(7)")

    assert is_transient(raised.value)


@pytest.mark.parametrize("statement", ["select nothing", "select 1/0", "select 'x'::uuid", "selct"])
async def test_a_fault_in_a_statement_is_not(statement: str, pool: Pool) -> None:
    with pytest.raises(asyncpg.PostgresError) as raised:
        await pool.execute(statement)

    assert not is_transient(raised.value)


async def test_an_argument_of_the_wrong_type_is_not(pool: Pool) -> None:
    with pytest.raises(asyncpg.DataError) as raised:
        await pool.fetchval("select $1::int", "x")

    assert not is_transient(raised.value)


async def test_a_role_that_is_refused_is_told_without_its_password(running: Servers) -> None:
    own, address = settings(running, "sequences"), urlsplit(running.urls["sequences"]).netloc.split("@")[1]
    wrong = SecretStr(f"postgresql://nobody:hunter2@{address}/sluice")

    with pytest.raises(DatabaseUnreachable, match='password authentication failed for user "nobody"') as raised:
        await create_pool(own.model_copy(update={"database_url": wrong}), schema="sequences")

    assert address in str(raised.value)
    assert "hunter2" not in str(raised.value)
