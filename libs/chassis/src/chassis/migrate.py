"""Bring a schema to the newest version: forward only, one process at a time, no file ever changed once applied."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from chassis import backoff, clock
from chassis.logging import safe_text
from chassis.pool import CONNECT_SECONDS_MAX, Conn, Pool, reaching

__all__ = ["MigrationRefused", "migrate", "require"]

log = structlog.get_logger(__name__)

LOCK_WAIT_SECONDS_MAX: Final = 120.0
"""How long to wait for another process that migrates the same schema."""
TABLE_LOCK_SECONDS_MAX: Final = 10.0
"""How long a statement may queue for a table: behind it, everybody else would wait too."""

FILE_NAME: Final = re.compile(r"\d{4}_(pre|post)_[a-z0-9_]+\.sql")
SCHEMA_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class MigrationRefused(Exception):
    """The files and the database do not fit together; nothing was changed by the file that is named."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL, known by its name."""

    name: str
    sql: str
    sha256: str


def read_migrations(directories: Sequence[Path]) -> list[list[Migration]]:
    """The files of each directory, in the order of their names; a name stands for one file in all of them."""
    found: list[list[Migration]] = []
    seen: dict[str, Path] = {}
    for directory in directories:
        if not directory.is_dir():
            raise MigrationRefused(f"{directory} is not a directory of migrations")
        files = sorted(directory.glob("*.sql"))
        for file in files:
            if not FILE_NAME.fullmatch(file.name):
                raise MigrationRefused(f"{file.name} is not named like 0001_pre_what.sql or 0001_post_what.sql")
            if file.name in seen:
                raise MigrationRefused(f"{file.name} stands in {seen[file.name]} and in {directory}")
            seen[file.name] = directory
        found.append([_read(file) for file in files])
    return found


def _read(file: Path) -> Migration:
    content = file.read_bytes()
    return Migration(file.name, content.decode(), hashlib.sha256(content).hexdigest())


async def migrate(url: str, schema: str, directory: Path | Sequence[Path]) -> list[str]:
    """Apply what is not applied yet, directory after directory, each file in a transaction of its own.

    Returns the names of the files that were applied. Raises `MigrationRefused` where an applied file was edited, or
    where a new one would come before one that is already applied, and `DatabaseUnreachable`. A file that is applied and
    no longer there (a release was put back) is no fault.
    """
    if not SCHEMA_NAME.fullmatch(schema):
        raise MigrationRefused(f"{schema!r} is no name of a schema")
    directories = [directory] if isinstance(directory, Path) else list(directory)
    migrations = read_migrations(directories)
    with reaching(url):
        conn = await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS_MAX,
            server_settings={
                "search_path": schema,
                "application_name": f"{schema}-migrate",
                "lock_timeout": str(int(TABLE_LOCK_SECONDS_MAX * 1000)),
            },
        )
    try:
        await _take_lock(conn, schema)
        await _prepare(conn, schema)
        return await _apply(conn, schema, migrations)
    except asyncpg.PostgresError as error:
        raise MigrationRefused(f"{schema} cannot be migrated: {safe_text(error) or type(error).__name__}") from error
    finally:
        # Ends the session, and with it the lock.
        await conn.close(timeout=CONNECT_SECONDS_MAX)


async def require(conn: Conn | Pool, schema: str, directories: Sequence[Path]) -> None:
    """Raise `MigrationRefused` where a file is not applied that the code rests on.

    Those are the `pre` files; a `post` file takes away what older code rested on, and may come later.
    """
    needed = [m.name for files in read_migrations(directories) for m in files if m.name.split("_")[1] == "pre"]
    applied: set[str] = set()
    if await conn.fetchval("select to_regclass($1) is not null", f"{schema}.migration"):
        applied = {row[0] for row in await conn.fetch(f"select name from {schema}.migration")}  # noqa: S608 - ours
    if missing := [name for name in needed if name not in applied]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MigrationRefused(f"the schema {schema} lacks {missing[0]}{more}: run `python -m {schema} migrate` first")


async def _take_lock(conn: Conn, schema: str) -> None:
    key = int.from_bytes(hashlib.sha256(f"sluice.migrate.{schema}".encode()).digest()[:8], signed=True)
    waits = backoff.delays(0.05, 1.0)
    try:
        async with asyncio.timeout(LOCK_WAIT_SECONDS_MAX):
            while not await conn.fetchval("select pg_try_advisory_lock($1)", key):
                await clock.sleep(next(waits))
    except TimeoutError:
        raise MigrationRefused(
            f"another process has been migrating {schema} for more than {LOCK_WAIT_SECONDS_MAX:.0f} s"
        ) from None


async def _prepare(conn: Conn, schema: str) -> None:
    # Asked first: `create schema if not exists` wants the right to create one even where it exists.
    if not await conn.fetchval("select exists (select from pg_namespace where nspname = $1)", schema):
        await conn.execute(f"create schema {schema}")
    if not await conn.fetchval("select to_regclass($1) is not null", f"{schema}.migration"):
        await conn.execute(
            f"create table {schema}.migration (name text primary key, sha256 text not null, "
            "applied_at timestamptz not null default clock_timestamp())"
        )


async def _apply(conn: Conn, schema: str, migrations: Sequence[Sequence[Migration]]) -> list[str]:
    rows = await conn.fetch(f"select name, sha256 from {schema}.migration")  # noqa: S608 - the name is checked above
    applied = {row["name"]: row["sha256"] for row in rows}
    for files in migrations:
        _refuse_rewriting(files, applied)
    done: list[str] = []
    for migration in (m for files in migrations for m in files if m.name not in applied):
        try:
            async with conn.transaction():
                await conn.execute(migration.sql)
                await conn.execute(
                    f"insert into {schema}.migration (name, sha256) values ($1, $2)",  # noqa: S608
                    migration.name,
                    migration.sha256,
                )
        except asyncpg.PostgresError as error:
            raise MigrationRefused(f"{migration.name} failed: {safe_text(error) or type(error).__name__}") from error
        log.info("migration_applied", schema=schema, migration=migration.name)
        done.append(migration.name)
    return done


def _refuse_rewriting(files: Sequence[Migration], applied: dict[str, str]) -> None:
    newest = max((m.name for m in files if m.name in applied), default="")
    for migration in files:
        known = applied.get(migration.name)
        if known is None and migration.name < newest:
            raise MigrationRefused(f"{migration.name} is new but would come before {newest}, which is already applied")
        if known is not None and known != migration.sha256:
            raise MigrationRefused(f"{migration.name} was edited after it had been applied; write a new file instead")
