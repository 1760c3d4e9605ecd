"""The examples run as they are, and are as short as they claim to be."""

import sys
from pathlib import Path
from typing import Final

import pytest
from devstack.stack import Stack
from sluice import Sluice

from tests.e2e.command_line import CommandLine
from tests.e2e.program import run, running

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
LINES_MAX: Final = 20


@pytest.mark.parametrize("name", ["publish.py", "subscribe.py", "node/publish.mjs", "node/subscribe.mjs"])
def test_an_example_has_no_more_than_twenty_lines_of_code(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()

    code = [line for line in lines if line.strip() and not line.strip().startswith(("//", "#"))]

    assert len(code) <= LINES_MAX


@pytest.mark.stack
async def test_one_publishes_what_another_follows(stack: Stack, sluice: Sluice, command_line: CommandLine) -> None:
    env = {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": stack.addresses.kafka[0]}
    imported = await command_line.json("contacts-import", str(EXAMPLES / "contacts.csv"))

    async with running(sys.executable, str(EXAMPLES / "subscribe.py"), env=env) as subscriber:
        await sluice.save("before-welcome", {})
        await subscriber.line(lambda line: line.startswith("before-welcome"))
        first = await run(sys.executable, str(EXAMPLES / "publish.py"), env=env)
        again = await run(sys.executable, str(EXAMPLES / "publish.py"), env=env)
        await sluice.delete("welcome", wait="erased")
        await subscriber.line(lambda line: line == "welcome is gone")

    published = first.stdout.splitlines()
    told = [line for line in subscriber.lines if line.startswith("welcome ")]
    assert (imported["created"], first.code, again.code) == (4, 0, 0)
    assert published[0] == "version 1 is out"
    assert published[1].startswith("ada is in: ")
    assert published[2].startswith("nothing leaves after 20")
    assert again.stdout.splitlines()[1].startswith("ada was not let in: sequence_paused")
    assert told[:4] == [
        "welcome is draft (SequenceSaved, epoch 0)",
        "welcome is active (SequencePublished, epoch 0)",
        "welcome is paused (SequencePaused, epoch 1)",
        "welcome is paused (SequenceStopped, epoch 1)",
    ]
