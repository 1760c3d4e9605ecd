"""The database `sluice` and its roles: deploy/postgres/roles.sql, with passwords of this stack's own."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Final

import asyncpg

from devstack.errors import StackError
from devstack.layout import Layout, read_json, write_private
from devstack.ports import LOOPBACK
from devstack.postgres import ADMIN, DATABASE

SERVICES: Final = ("sequences", "enrollment", "delivery", "console")
ROLES: Final = tuple(f"{service}_{kind}" for service in SERVICES for kind in ("owner", "app"))
CONNECT_SECONDS_MAX: Final = 10
APPLY_SECONDS_MAX: Final = 30


def passwords(layout: Layout) -> dict[str, str]:
    """A password per role, made once and kept in a file that only its owner may read."""
    known = read_json(layout.passwords)
    missing = [role for role in (ADMIN, *ROLES) if role not in known]
    if missing:
        known |= {role: secrets.token_hex(24) for role in missing}
        write_private(layout.passwords, json.dumps(known, indent=1))
    return known


def url(layout: Layout, role: str, *, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{role}:{passwords(layout)[role]}@{LOOPBACK}:{port}/{database}"


async def apply(layout: Layout, *, port: int, sql: Path) -> None:
    """Make the database if it is missing, then run the file in it."""
    try:
        await _make_database(url(layout, ADMIN, port=port, database=ADMIN))
        await _run(url(layout, ADMIN, port=port), await asyncio.to_thread(sql.read_text), passwords(layout))
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise StackError(f"{sql} could not be applied: {error}") from error


async def _make_database(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url, timeout=CONNECT_SECONDS_MAX)
    try:
        if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE):
            await connection.execute(f"create database {DATABASE}", timeout=APPLY_SECONDS_MAX)
    finally:
        await connection.close(timeout=CONNECT_SECONDS_MAX)


async def _run(database_url: str, sql: str, known: dict[str, str]) -> None:
    connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS_MAX)
    try:
        for role in ROLES:
            await connection.execute("select set_config($1, $2, false)", f"sluice.{role}_password", known[role])
        await connection.execute(sql, timeout=APPLY_SECONDS_MAX)
    finally:
        await connection.close(timeout=CONNECT_SECONDS_MAX)
