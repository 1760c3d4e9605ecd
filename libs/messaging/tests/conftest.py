"""An empty schema for each test; the servers are those of the whole run."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from messaging import MIGRATIONS, offsets
from testkit import topics as topic_kit
from testkit.database import fresh_schema
from testkit.stack import Servers

from libs.messaging.tests.bench import NAME, ROOT, USED, Bench

EFFECT_TABLE = """
create table if not exists effect (place bigint generated always as identity, record text not null, key text not null);
truncate effect;
grant select, insert on effect to sequences_app;
"""


@pytest.fixture(scope="session")
def provisioned(running: Servers) -> Servers:
    """Servers with every topic of the contract."""
    asyncio.run(topic_kit.provision(running.kafka, ROOT))
    return running


@pytest.fixture
async def bench(provisioned: Servers) -> AsyncIterator[Bench]:
    """An empty schema whose readers start where the topics end, and a table for what handlers do."""
    since = await topic_kit.ends(provisioned.kafka, USED)
    async with fresh_schema(provisioned, NAME, MIGRATIONS) as pool:
        owner = await asyncpg.connect(provisioned.migration_urls[NAME], server_settings={"search_path": NAME})
        try:
            await owner.execute(EFFECT_TABLE)
            for topic in USED:
                here = {at.partition: offset for at, offset in since.items() if at.topic == topic}
                await offsets.load(owner, topic, beginnings=here, partitions=len(here))
            yield Bench(provisioned, pool, since, owner)
        finally:
            owner.terminate()
    # On a connection of its own: the test may have killed the server.
    owner = await asyncpg.connect(provisioned.migration_urls[NAME], server_settings={"search_path": NAME})
    await owner.execute("drop table effect")
    await owner.close()
