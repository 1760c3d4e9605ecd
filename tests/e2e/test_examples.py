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
        first = await run(sys.executable, str(EXAMPLES / "publish.py"), env=env)
        again = await run(sys.executable, str(EXAMPLES / "publish.py"), env=env)
        await sluice.delete("welcome", wait="erased")
        await subscriber.line(lambda line: line == "welcome is gone")

    assert imported["created"] == 4
    assert [line.partition(":")[0].rpartition(" after ")[0] or line.partition(":")[0] for line in _lines(first)] == [
        "version 1 is out",
        "ada is in",
        "nothing leaves",
    ]
    assert _lines(again)[1].startswith("ada was not let in: sequence_paused")
    told = [line.removeprefix("welcome is ").partition(",")[0] for line in subscriber.lines if "welcome" in line]
    assert told[:4] == [
        "draft (SequenceSaved",
        "active (SequencePublished",
        "paused (SequencePaused",
        "paused (SequenceStopped",
    ]


def _lines(ended: object) -> list[str]:
    assert getattr(ended, "code", None) == 0, ended
    return str(getattr(ended, "stdout", "")).splitlines()
