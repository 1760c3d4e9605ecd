"""Records: read again from the beginning, poisoned; offsets that are gone; erasures that are stopped in the middle."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Final

from aiokafka import AIOKafkaProducer
from chassis.clock import sleep, utc_now
from sluice.transport import partition_of
from sluice_contracts import topics
from sluice_contracts.base import Command
from sluice_contracts.delivery import ResolveMessage
from sluice_contracts.enrollment import EnrollContact, EnrollContacts, RemoveContact
from sluice_contracts.sequences import PauseSequence
from testkit.checker.history import Asked, Found, Record
from testkit.demo.traces import topics_without

from tests.faults import collect, poison
from tests.faults.scene import Play, Scene
from tests.faults.scenes import kills
from tests.faults.stage import READERS, forget_as_told, keep_everything
from tests.faults.workload import CHUNK

SCHEMAS: Final = ("sequences", "enrollment", "delivery", "console")
NEIGHBOURS: Final = 4
AGAIN: Final = topics.ALL_TOPICS - topics.ANSWER_TOPICS - topics.QUARANTINES
"""All that somebody reads, but answers."""
STOPPING: Final = (topics.ENROLLMENT_CONTROL, topics.SEQUENCES_EVENTS)
"""Where poison may have been a stop of nobody knows whom."""


async def replayed(play: Play) -> None:
    """Every reader is put back to the beginning of every topic and started anew, twice."""
    for _ in range(2):
        for schema in SCHEMAS:
            await play.stage.conn.execute(f"update {schema}.consumer_offset set next_offset = 0")
        for name in (*READERS, "console"):
            await play.stage.kill_when_there(name)
        await sleep(3.0)


async def offsets_gone(play: Play) -> None:
    """What every reader had stored of its place is deleted."""
    for schema in SCHEMAS:
        await play.stage.conn.execute(f"delete from {schema}.consumer_offset")
    for name in (*READERS, "console"):
        play.stage.kill(name)
    await sleep(3.0)


async def written_again(play: Play) -> None:
    """Whatever stands on the topics of the run is written again, twice: all in one heap, in no order."""
    kafka = play.stage.stack.addresses.kafka
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        for _ in range(2):
            heap = [one for one in await collect.records(kafka, play.marks) if one.topic in AGAIN]
            play.chance.shuffle(heap)
            flying = [
                await producer.send(one.topic, one.value, one.key, one.partition, headers=list(one.headers))
                for one in heap
            ]
            await asyncio.gather(*flying)
            play.stage.told.append(f"{len(heap)} records written again")
            await sleep(2.0)
    finally:
        await producer.stop()


async def poisoned(play: Play) -> None:
    """Each kind on each topic, but for what stops sending, with commands right behind it."""
    producer = AIOKafkaProducer(bootstrap_servers=play.stage.stack.addresses.kafka)
    await producer.start()
    try:
        for topic in poison.TYPES:
            await _poison(play, producer, topic, stops=False)
            await _neighbours(play, topic, await _partition(play, topic))
    finally:
        await producer.stop()


async def poisoned_stop(play: Play) -> None:
    """What may have been a stop names nobody: nothing is sent until a person has decided."""
    await play.fill()
    producer = AIOKafkaProducer(bootstrap_servers=play.stage.stack.addresses.kafka)
    await producer.start()
    try:
        async with play.stage.silence("a record that may have been a stop was set aside"):
            for topic in STOPPING:
                await _poison(play, producer, topic, stops=True)
            await sleep(8.0)
    finally:
        await producer.stop()
    found = await play.stage.conn.fetch("select distinct topic from delivery.consumer_offset where withheld")
    assert {row[0] for row in found} == set(STOPPING), found
    for schema in SCHEMAS:
        await play.stage.conn.execute(f"update {schema}.consumer_offset set withheld = false")


async def _partition(play: Play, topic: str) -> int:
    return partition_of(_name(play), await play.sluice.transport.partitions(topic))


def _name(play: Play) -> str:
    return f"{play.workload.prefix}-poison"


async def _poison(play: Play, producer: AIOKafkaProducer, topic: str, *, stops: bool) -> None:
    """Write what is bad on a topic, one after the other on one partition."""
    partition = await _partition(play, topic)
    for bad in poison.of(topic, name=_name(play)):
        if bad.stops is not stops:
            continue
        asked_at = utc_now()
        headers = list(bad.headers)
        written = await producer.send_and_wait(topic, bad.value, key=bad.key, headers=headers, partition=partition)
        record = Record(topic, partition, written.offset, asked_at, bad.key, bad.value, bad.headers)
        key = (bad.key or b"").decode(errors="replace")
        asked = Asked(poison.SOURCE, bad.id, bad.what, topic, key, {}, asked_at, kind=bad.kind, record=record)
        play.workload.asked.append(replace(asked, untroubled=bad.untroubled))


async def _neighbours(play: Play, topic: str, partition: int) -> None:
    """Commands of somebody else, right behind the poison, where the topic takes any."""
    partitions = await play.sluice.transport.partitions(topic)
    beside = (one for one in _commands(play, topic) if partition_of(one[1], partitions) == partition)
    chosen = [*islice(beside, NEIGHBOURS)]
    assert topic not in topics.COMMAND_TOPICS or chosen, f"no command lies behind the poison on {topic}"
    await asyncio.gather(*(play.workload.ask(command, key=key, kind="neighbour") for command, key in chosen))


def _commands(play: Play, topic: str) -> Iterator[tuple[Command, str]]:
    """Commands of a topic with their keys, which lie on all of its partitions."""
    work = play.workload
    sequence_id = work.sequences[0]
    contacts = random.Random(topic).sample(work.contacts, len(work.contacts))
    commands: Iterator[Command]
    match topic:
        case topics.ENROLLMENT_COMMANDS:
            commands = (EnrollContact(sequence_id=sequence_id, contact_id=one) for one in contacts)
        case topics.ENROLLMENT_REMOVALS:
            commands = (RemoveContact(contact_id=one, sequence_id=sequence_id) for one in contacts)
        case topics.SEQUENCES_COMMANDS:
            commands = (PauseSequence(sequence_id=f"{work.prefix}-nobody{number}") for number in count())
        case topics.DELIVERY_COMMANDS:
            commands = (ResolveMessage(message_id=f"{work.prefix}-nothing{n}", outcome="sent") for n in count())
        case topics.ENROLLMENT_IMPORTS:
            command = EnrollContacts(sequence_id=sequence_id, contact_ids=contacts[:CHUNK])
            yield from ((command, command.key_of(f"neighbour{number}")) for number in count())
            return
        case _:
            return
    yield from ((one, one.key()) for one in commands)


async def look_into_topics(play: Play) -> None:
    """Kafka forgets at once what takes it weeks, and no topic may hold a canary of what is gone."""
    kafka = play.stage.stack.addresses.kafka
    await forget_as_told(kafka)
    for sequence_id in play.workload.gone:
        word = play.workload.canaries[sequence_id]
        left = await topics_without(play.sluice, kafka, word, tell=play.stage.told.append)
        play.found += [Found(word, topic, number) for topic, number in left.items()]
    await keep_everything(kafka)


async def commands_again(play: Play) -> None:
    """Commands that were answered are read again, by processes that run."""
    for schema in ("sequences", "enrollment"):
        await play.stage.conn.execute(
            f"update {schema}.consumer_offset set next_offset = 0 where topic like '%commands'"
        )
    await sleep(3.0)


SCENES: Final = (
    Scene(
        "replay",
        "every reader is put back to the beginning of every topic, twice, under load",
        replayed,
        load_seconds=10.0,
    ),
    Scene(
        "again-in-no-order",
        "every command, event and stop is written again, twice, in no order, under load",
        written_again,
        load_seconds=10.0,
        calm=True,
    ),
    Scene(
        "commands-again", "commands that were answered are read again, by processes that run", commands_again, calm=True
    ),
    Scene("offsets-gone", "what readers had stored of their places is deleted", offsets_gone),
    Scene(
        "poison",
        "17 kinds of poison, and types that nobody knows, on all 16 topics; on five commands right behind it",
        poisoned,
        calm=True,
    ),
    Scene(
        "poison-stop",
        "poison where a removal or a pause may have been: sending stops until a person decides",
        poisoned_stop,
        load_seconds=12.0,
    ),
    Scene(
        "erasure",
        "what erases is killed in the middle; tables and topics are searched",
        kills.at_point("mid-erasure"),
        after=look_into_topics,
    ),
)
