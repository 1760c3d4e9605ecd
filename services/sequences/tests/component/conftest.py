"""The service's schema on a real Postgres."""

from collections.abc import AsyncIterator

import pytest
from chassis.pool import Pool
from messaging import MIGRATIONS as MESSAGING
from sequences.settings import MIGRATIONS, SCHEMA
from testkit.database import fresh_schema
from testkit.stack import Servers


@pytest.fixture
async def pool(running: Servers) -> AsyncIterator[Pool]:
    """The runtime role's pool on a migrated schema whose tables are empty."""
    async with fresh_schema(running, SCHEMA, MESSAGING, MIGRATIONS) as opened:
        yield opened
