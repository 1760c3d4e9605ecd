"""A service that cannot begin says why in one sentence, and ends with 1."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from chassis.clock import new_id
from devstack.stack import Stack

PROCESSES = ["sequences run", "enrollment run", "delivery plan", "delivery send", "delivery receive", "console run"]
NOBODY = "postgresql://app:hunter2@127.0.0.1:1/sluice"


@pytest.fixture
async def empty(stack: Stack) -> AsyncIterator[str]:
    """A database without any schema of ours."""
    name = f"empty_{new_id()[:8]}"
    conn = await asyncpg.connect(stack.addresses.postgres_admin_url)
    try:
        await conn.execute(f"create database {name}")
        yield urlunsplit(urlsplit(stack.addresses.postgres_admin_url)._replace(path=f"/{name}"))
        await conn.execute(f"drop database {name} with (force)")
    finally:
        await conn.close()


def started(process: str, stack: Stack, **settings: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    kafka = ",".join(stack.addresses.kafka)
    return subprocess.run(
        [sys.executable, "-m", *process.split()],
        env={**own, "SLUICE_KAFKA_BOOTSTRAP_SERVERS": kafka, "SLUICE_HEALTH_PORT": "0", **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_schema_that_lacks_migrations_is_named_with_what_to_do(process: str, stack: Stack, empty: str) -> None:
    service = process.split()[0]

    ended = started(process, stack, SLUICE_DATABASE_URL=empty)

    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert f"the schema {service} lacks 0001_pre_messaging.sql and " in ended.stderr
    assert f"run `python -m {service} migrate` first" in ended.stderr


@pytest.mark.parametrize("setting", ["SLUICE_DATABASE_URL", "SLUICE_MIGRATION_URL"])
@pytest.mark.parametrize("service", ["sequences", "enrollment", "delivery", "console"])
async def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    service: str, setting: str, stack: Stack
) -> None:
    command = {"SLUICE_MIGRATION_URL": "migrate"}.get(setting, "plan" if service == "delivery" else "run")

    ended = started(f"{service} {command}", stack, **{setting: NOBODY})

    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert f"python -m {service}: no session with Postgres at 127.0.0.1:1: " in ended.stderr
    assert "hunter2" not in ended.stdout + ended.stderr
