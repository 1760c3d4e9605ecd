"""Migrations on a real Postgres: forward only, once each, one process at a time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from chassis.migrate import MigrationRefused, migrate, require
from chassis.pool import Conn
from testkit.database import sluice_url
from testkit.stack import Servers

pytestmark = pytest.mark.stack

SCHEMA = "chassis_test"


@pytest.fixture
async def url(running: Servers, admin: Conn) -> AsyncIterator[str]:
    await admin.execute(f"drop schema if exists {SCHEMA} cascade")
    yield sluice_url(running.admin_url)
    await admin.execute(f"drop schema if exists {SCHEMA} cascade")


def write(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, sql in files.items():
        (directory / f"{name.removeprefix('_')}.sql").write_text(sql)
    return directory


async def columns(admin: Conn, table: str) -> list[str]:
    query = "select column_name from information_schema.columns where table_schema = $1 and table_name = $2 order by 1"
    return [row[0] for row in await admin.fetch(query, SCHEMA, table)]


async def test_files_are_applied_in_order_and_only_once(url: str, admin: Conn, tmp_path: Path) -> None:
    core = write(tmp_path / "core", _0001_pre_core="create table inbox (message text)")
    own = write(
        tmp_path / "own",
        _0002_pre_more="alter table thing add column more text",
        _0001_pre_thing="create table thing (id text); create index on thing (id); create table link (inbox text)",
    )

    first = await migrate(url, SCHEMA, [core, own])
    again = await migrate(url, SCHEMA, [core, own])
    write(own, _0003_post_less="alter table thing drop column id")
    later = await migrate(url, SCHEMA, [core, own])

    assert first == ["0001_pre_core.sql", "0001_pre_thing.sql", "0002_pre_more.sql"]
    assert again == []
    assert later == ["0003_post_less.sql"]
    assert await columns(admin, "thing") == ["more"]
    assert await columns(admin, "inbox") == ["message"]


async def test_an_edited_file_is_refused_and_nothing_is_applied(url: str, admin: Conn, tmp_path: Path) -> None:
    directory = write(tmp_path, _0001_pre_thing="create table thing (id text)")
    await migrate(url, SCHEMA, directory)
    write(directory, _0001_pre_thing="create table thing (id bigint)", _0002_pre_other="create table other (id text)")

    with pytest.raises(MigrationRefused, match=r"0001_pre_thing.sql was edited"):
        await migrate(url, SCHEMA, directory)

    assert await columns(admin, "other") == []


async def test_a_new_file_before_an_applied_one_is_refused(url: str, tmp_path: Path) -> None:
    directory = write(tmp_path, _0002_pre_thing="create table thing (id text)")
    await migrate(url, SCHEMA, directory)
    write(directory, _0001_pre_late="create table late (id text)")

    with pytest.raises(MigrationRefused, match=r"0001_pre_late.sql is new but would come before 0002_pre_thing.sql"):
        await migrate(url, SCHEMA, directory)


async def test_a_file_that_fails_leaves_nothing_of_itself_and_is_tried_again(
    url: str, admin: Conn, tmp_path: Path
) -> None:
    directory = write(
        tmp_path,
        _0001_pre_thing="create table thing (id text)",
        _0002_pre_half="create table half (id text); select nothing_like_this()",
    )
    with pytest.raises(MigrationRefused, match=r"0002_pre_half.sql failed"):
        await migrate(url, SCHEMA, directory)
    left = await columns(admin, "half")
    write(directory, _0002_pre_half="create table half (id text)")

    assert left == []
    assert await migrate(url, SCHEMA, directory) == ["0002_pre_half.sql"]


async def test_a_release_that_was_put_back_finds_a_newer_schema_and_is_content(url: str, tmp_path: Path) -> None:
    directory = write(tmp_path, _0001_pre_one="create table one ()", _0002_pre_two="create table two ()")
    await migrate(url, SCHEMA, directory)
    (directory / "0002_pre_two.sql").unlink()

    assert await migrate(url, SCHEMA, directory) == []


async def test_of_several_processes_one_migrates_and_all_succeed(url: str, tmp_path: Path) -> None:
    directory = write(tmp_path, _0001_pre_slow="select pg_sleep(0.2); create table slow (id text)")

    applied = await asyncio.gather(*(migrate(url, SCHEMA, directory) for _ in range(4)))

    assert sorted(applied) == [[], [], [], ["0001_pre_slow.sql"]]


async def test_an_owner_without_the_right_to_make_schemas_migrates_one_that_is_there(
    running: Servers, admin: Conn, tmp_path: Path
) -> None:
    directory = write(tmp_path, _9001_pre_probe="create table chassis_probe (id text)")
    owner = running.migration_urls["sequences"]
    try:
        applied = await migrate(owner, "sequences", directory)
    finally:
        await admin.execute("drop table if exists sequences.chassis_probe")
        await admin.execute("delete from sequences.migration where name = '9001_pre_probe.sql'")

    assert applied == ["9001_pre_probe.sql"]


@pytest.mark.parametrize("schema", ["Sequences", "a b", "x; drop schema y", ""])
async def test_what_is_no_name_of_a_schema_is_refused(schema: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(MigrationRefused, match="no name of a schema"):
        await migrate(url, schema, tmp_path)


@pytest.mark.parametrize("name", ["1_pre_x.sql", "0001_x.sql", "0001_pre_X.sql"])
async def test_a_file_with_another_name_is_refused(name: str, url: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("select 1")

    with pytest.raises(MigrationRefused, match=name):
        await migrate(url, SCHEMA, tmp_path)


async def test_one_name_in_two_directories_is_refused(url: str, tmp_path: Path) -> None:
    one, other = (write(tmp_path / part, _0001_pre_x="select 1") for part in ("one", "other"))

    with pytest.raises(MigrationRefused, match=r"0001_pre_x.sql stands in"):
        await migrate(url, SCHEMA, [one, other])


async def test_the_lock_is_free_after_a_failure(url: str, tmp_path: Path) -> None:
    directory = write(tmp_path, _0001_pre_bad="select nothing_like_this()")
    with pytest.raises(MigrationRefused):
        await migrate(url, SCHEMA, directory)

    conn = await asyncpg.connect(url)
    try:
        held = await conn.fetchval(
            "select count(*) from pg_locks l join pg_stat_activity a using (pid) "
            "where locktype = 'advisory' and a.application_name = $1",
            f"{SCHEMA}-migrate",
        )
    finally:
        await conn.close()
    assert held == 0


async def test_code_is_refused_on_a_schema_that_lacks_what_it_rests_on(url: str, admin: Conn, tmp_path: Path) -> None:
    directory = write(tmp_path, _0001_pre_thing="create table thing (id text)")
    with pytest.raises(MigrationRefused, match=r"chassis_test lacks 0001_pre_thing.sql: run"):
        await require(admin, SCHEMA, [directory])
    await migrate(url, SCHEMA, directory)
    await require(admin, SCHEMA, [directory])

    write(directory, _0002_post_less="alter table thing drop column id")
    await require(admin, SCHEMA, [directory])

    write(directory, _0003_pre_more="alter table thing add m text", _0004_pre_most="alter table thing add n text")
    with pytest.raises(MigrationRefused, match=r"lacks 0003_pre_more.sql and 1 more"):
        await require(admin, SCHEMA, [directory])


async def test_a_role_without_the_rights_is_refused_in_words(running: Servers) -> None:
    with pytest.raises(MigrationRefused, match="chassis_test cannot be migrated: permission denied for database"):
        await migrate(running.urls["sequences"], SCHEMA, [])
