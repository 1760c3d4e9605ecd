"""Real servers for tests: addresses from the environment, else containers, else the local stack. Never a mock."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.stack import Stack

from testkit import containers

SERVICES: Final = ("sequences", "enrollment", "delivery", "console")
ENVIRONMENT: Final = "SLUICE_TEST_STACK"
"""JSON: {"kafka": [...], "admin_url": …, "urls": {service: …}, "migration_urls": {service: …}}."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where Kafka and Postgres listen; `urls` are the runtime roles', `migration_urls` the owners'."""

    kafka: list[str]
    admin_url: str
    urls: dict[str, str]
    migration_urls: dict[str, str]
    stack: Stack | None
    """The local stack, where it is one: its servers can be killed and started again."""


@contextmanager
def servers() -> Iterator[Servers]:
    """Kafka and Postgres with the roles of deploy/postgres/roles.sql, and nothing else; gone at the end."""
    given = os.environ.get(ENVIRONMENT)
    if given:
        known = json.loads(given)
        yield Servers(known["kafka"], known["admin_url"], known["urls"], known["migration_urls"], stack=None)
        return
    here = containers.images()
    if here is not None:
        with containers.running(here) as started:
            yield Servers(started.kafka, started.admin_url, started.urls, started.migration_urls, stack=None)
        return
    with local_stack() as stack:
        at = stack.addresses
        yield Servers(at.kafka, at.postgres_admin_url, dict(at.urls), dict(at.migration_urls), stack=stack)


@contextmanager
def local_stack() -> Iterator[Stack]:
    """The local stack in a folder of its own, without services; it ends with this process at the latest."""
    root = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    stack = Stack.at(root)
    try:
        stack.start(services=False, attached=True)
        yield stack
    finally:
        stack.stop()
        stack.reset()
        shutil.rmtree(root, ignore_errors=True)
