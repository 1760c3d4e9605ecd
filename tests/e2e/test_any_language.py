"""Whatever language: Kafka's own console tools and a Node client command, are answered, and see the events."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from devstack.stack import Stack
from sluice import Sluice
from sluice.transport import partition_of

from tests.e2e.campaign import Campaign
from tests.e2e.program import Running, run, running

pytestmark = pytest.mark.stack

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
INSTALL: Final = ("ci", "--no-audit", "--no-fund", "--loglevel=error")
INSTALL_SECONDS_MAX: Final = 60.0
COMMANDS: Final = "sequences.commands"
ANSWERS: Final = "sequences.answers"
EVENTS: Final = "sequences.events"


async def _produce(stack: Stack, *lines: str, properties: Sequence[str]) -> None:
    """Write lines with Kafka's console producer."""
    options = [option for one in properties for option in ("--reader-property", one)]
    argv = stack.kafka_tool_command("console-producer", "--topic", COMMANDS, *options)
    ended = await run(*argv, stdin="".join(f"{line}\n" for line in lines))
    assert ended.code == 0, ended


@asynccontextmanager
async def _consuming(stack: Stack, topic: str) -> AsyncIterator[Running]:
    """Kafka's console consumer, which shows a topic from its beginning on."""
    options = ("--topic", topic, "--from-beginning", "--formatter-property", "print.key=true")
    async with running(*stack.kafka_tool_command("console-consumer", *options)) as consumer:
        yield consumer


async def _shown(consumer: Running, key: str) -> dict[str, Any]:
    """The next record of that key."""
    line = await consumer.line(lambda line: line.startswith(f"{key}\t"))
    record: dict[str, Any] = json.loads(line.partition("\t")[2])
    return record


async def test_a_command_of_the_console_producer_without_any_header_is_answered(campaign: Campaign) -> None:
    key, command_id = campaign.sequence_id, f"{campaign.sequence_id}-structured"
    data = {"sequence_id": key, "definition": campaign.definition(campaign.email())}
    save = {"specversion": "1.0", "id": command_id, "source": "console", "type": "SaveSequence.v1", "data": data}

    await _produce(campaign.stack, f"{key}\t{json.dumps(save)}", properties=["parse.key=true"])
    async with _consuming(campaign.stack, ANSWERS) as consumer:
        answer = await _shown(consumer, command_id)

    assert answer["type"] == "CommandAccepted.v1"
    assert answer["correlationid"] == command_id
    assert answer["data"]["command"] == {"source": "console", "id": command_id, "type": "SaveSequence.v1"}
    assert answer["data"]["result"] == {"revision": 1, "status": "draft"}


async def test_a_command_of_the_console_producer_in_binary_mode_is_answered_and_its_events_are_seen(
    campaign: Campaign,
) -> None:
    key, ids = campaign.sequence_id, [f"{campaign.sequence_id}-{number}" for number in range(3)]
    save = {"sequence_id": key, "definition": campaign.definition(campaign.email())}
    types = {"SaveSequence.v1": save, "PublishSequence.v1": {"sequence_id": key}, "PauseSequence.v1": {}}
    lines = [
        f"ce_specversion:1.0,ce_id:{id_},ce_source:console,ce_type:{type_}\t{key}\t{json.dumps(data)}"
        for id_, (type_, data) in zip(ids, types.items(), strict=True)
    ]

    async with _consuming(campaign.stack, EVENTS) as consumer:
        await campaign.sluice.save(f"{key}-first", campaign.definition())
        await _shown(consumer, f"{key}-first")  # from here on it sees what comes before it can be compacted
        await _produce(campaign.stack, *lines, properties=["parse.key=true", "parse.headers=true"])
        saved, published = await _shown(consumer, key), await _shown(consumer, key)
    async with _consuming(campaign.stack, ANSWERS) as consumer:
        refused = await _shown(consumer, ids[2])

    assert [event["type"] for event in (saved, published)] == ["SequenceSaved.v1", "SequencePublished.v1"]
    assert [event["correlationid"] for event in (saved, published)] == ids[:2]
    assert [event["data"]["status"] for event in (saved, published)] == ["draft", "active"]
    assert saved["actor"] == "console"
    assert refused["type"] == "CommandRejected.v1"
    assert (refused["data"]["code"], [fault["place"] for fault in refused["data"]["faults"]]) == (
        "invalid",
        ["sequence_id"],
    )


async def test_a_node_program_commands_in_both_modes_and_follows_what_happens(campaign: Campaign, node: Path) -> None:
    key, env = campaign.sequence_id, {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": campaign.stack.addresses.kafka[0]}
    data = {"sequence_id": key, "definition": campaign.definition(campaign.email())}

    async with running("node", "subscribe.mjs", cwd=node, env=env) as subscriber:
        saved = await run("node", "publish.mjs", "structured", "SaveSequence.v1", json.dumps(data), cwd=node, env=env)
        lines = [await subscriber.line(lambda line: line.startswith(key))]
        publish = json.dumps({"sequence_id": key})
        published = await run("node", "publish.mjs", "binary", "PublishSequence.v1", publish, cwd=node, env=env)
        lines += [await subscriber.line(lambda line: line.startswith(key))]
        await campaign.sluice.delete(key, wait="erased")
        lines += [await subscriber.line(lambda line: line.startswith(key)) for _ in range(2)]

    answers = [json.loads(ended.stdout)["data"] for ended in (saved, published)]
    assert [answer["command"]["source"] for answer in answers] == ["node-example"] * 2
    assert [answer["result"] for answer in answers] == [{"revision": 1, "status": "draft"}, {"version": 1}]
    assert lines == [
        f"{key} is draft (SequenceSaved.v1, epoch 0)",
        f"{key} is active (SequencePublished.v1, epoch 0)",
        f"{key} is deleted (SequenceDeleted.v1, epoch 1)",
        f"{key} is gone",
    ]


async def test_records_of_one_key_lie_on_one_partition_whoever_wrote_them(campaign: Campaign, node: Path) -> None:
    """The Java producer, Node and Python choose the same one, so the commands of a sequence stay in order."""
    env = {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": campaign.stack.addresses.kafka[0]}
    keys = [f"{campaign.sequence_id}-{number}" for number in range(6)]
    pause = {"specversion": "1.0", "id": campaign.sequence_id, "source": "console", "type": "PauseSequence.v1"}
    lines = [f"{key}\t{json.dumps(pause | {'data': {'sequence_id': key}})}" for key in keys]
    command = [json.dumps({"sequence_id": key}) for key in keys[:3]]

    await _produce(campaign.stack, *lines, properties=["parse.key=true"])
    nodes = [run("node", "publish.mjs", "binary", "PauseSequence.v1", one, cwd=node, env=env) for one in command]
    await asyncio.gather(*nodes)

    count = await campaign.sluice.transport.partitions(COMMANDS)
    found = await _partitions(campaign.sluice, campaign.sequence_id)
    assert sorted(key for key, _ in found) == sorted([*keys, *keys[:3]])
    assert {(key, partition_of(key, count)) for key in keys} == set(found)


async def _partitions(sluice: Sluice, prefix: str) -> list[tuple[str, int]]:
    """Each command whose key begins so, with the partition on which it lies."""
    read = sluice.transport.read_to_end(COMMANDS)
    records = [record async for batch in read for record in batch if (record.key or b"").startswith(prefix.encode())]
    return [((record.key or b"").decode(), record.partition) for record in records]


@pytest.fixture(scope="module")
def node_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as it is, in a folder of its own."""
    return Path(shutil.copytree(EXAMPLES / "node", tmp_path_factory.mktemp("node") / "node"))


@pytest.fixture
async def node(node_home: Path) -> Path:
    """The example with what it needs from npm; skipped, with the reason, where that cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here")
    if not (node_home / "node_modules").exists():
        ended = await run("npm", *INSTALL, cwd=node_home, seconds_max=INSTALL_SECONDS_MAX)
        if ended.code != 0:
            pytest.skip(f"npm could not install kafkajs: {' '.join(ended.stderr.split())[:200]}")
    return node_home


def test_the_lock_file_of_the_node_example_names_no_host() -> None:
    lock = json.loads((EXAMPLES / "node" / "package-lock.json").read_text())

    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert "://" not in json.dumps(lock)
