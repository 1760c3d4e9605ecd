"""One whole stack for all tests of this folder; each test has a sequence and contacts of its own on it."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from chassis.clock import new_id
from devstack.stack import Stack
from sluice import Sluice

from tests.e2e.campaign import Campaign
from tests.e2e.command_line import CommandLine
from tests.e2e.outside import TOPICS, Outside
from tests.e2e.sink import SinkControl

ROOT: Final = Path(__file__).parents[2]
QUICK: Final = {
    "SLUICE_LEASE_SECONDS_MAX": "8",
    "SLUICE_SEND_SECONDS_MAX": "3",
    "SLUICE_LEASE_MARGIN_SECONDS": "1",
    "SLUICE_SINK_KEEP_BODIES": "true",
    "SLUICE_UNKNOWN_WAIT_SECONDS": "30",
}
"""What a crash leaves in doubt is decided after the lease: a test need not wait as long as production does. What is
unknown stays so for as long as a busy machine takes to be asked about it."""


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Kafka, Postgres, every service, one sender and the sink; they end with this process at the latest."""
    root = Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
    found = Stack.at(root)
    try:
        found.start(services=True, attached=True, env=QUICK)
        yield found
    finally:
        found.stop()
        found.reset()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
async def sluice(stack: Stack) -> AsyncIterator[Sluice]:
    """A client as another team's program has it."""
    async with Sluice(stack.addresses.kafka, actor="e2e", seconds_max=60.0) as client:
        yield client


@pytest.fixture
async def campaign(stack: Stack, sluice: Sluice) -> AsyncIterator[Campaign]:
    """A sequence and contacts of the test's own."""
    unique = new_id()[:8]
    sink = SinkControl(stack.addresses.sink_http)
    outside = Outside(f"e2e-{unique}", f"4{int(unique, 16):010d}", stack.addresses.sink_file)
    async with sluice.events(*TOPICS) as stream:
        outside.begin(stream)
        yield Campaign(stack, sluice, sink, outside)
        await outside.end()
    await sink.forgive()


@pytest.fixture
def command_line(stack: Stack, tmp_path: Path) -> CommandLine:
    """The program `sluice`, in a process of its own, at a pipe instead of a terminal."""
    return CommandLine(bootstrap=",".join(stack.addresses.kafka), home=tmp_path)
