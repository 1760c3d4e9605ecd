"""Fixtures for every test that needs real servers; loaded by the root conftest."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from testkit import database as databases
from testkit.stack import Servers, servers


@pytest.fixture(scope="session")
def running() -> Iterator[Servers]:
    """Kafka and Postgres, started once for the whole run."""
    with servers() as found:
        yield found


@pytest.fixture
async def admin(running: Servers) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection."""
    conn = await asyncpg.connect(databases.sluice_url(running.admin_url))
    try:
        yield conn
    finally:
        await conn.close()
