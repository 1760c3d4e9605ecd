"""Records: read again from the beginning, poisoned; offsets that are gone; erasures that are stopped in the middle."""

import asyncio
import random
from typing import Final

from aiokafka import AIOKafkaProducer
from chassis.clock import sleep, utc_now
from sluice.transport import partition_of
from sluice_contracts import topics
from sluice_contracts.enrollment import EnrollContact
from sluice_contracts.sequences import PauseSequence
from testkit.checker.history import Asked, Found, Record
from testkit.checker.invariants.poison import READERS as READERS_OF
from testkit.demo.traces import topics_without

from tests.faults.scene import Play, Scene
from tests.faults.stage import READERS, keep_everything

SCHEMAS: Final = ("sequences", "enrollment", "delivery", "console")
KINDS: Final[dict[str, bytes]] = {
    "no JSON": b"\x00\xff\xfe not json",
    "half a JSON": b'{"specversion": "1.0", "id": "x", "source": "y"',
    "a list": b"[1, 2, 3]",
    "no envelope": b'{"hello": "world"}',
    "data that is no object": b'{"specversion":"1.0","id":"p","source":"p","type":"PauseSequence.v1","data":[]}',
    "empty": b"",
    "deep": b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
}
"""Values that are no valid envelope on any topic."""


async def replayed(play: Play) -> None:
    """Every reader is put back to the beginning of every topic and started anew, twice."""
    for _ in range(2):
        for schema in SCHEMAS:
            await play.stage.conn.execute(f"update {schema}.consumer_offset set next_offset = 0")
        for name in (*READERS, "console"):
            play.stage.kill(name)
        await sleep(3.0)


async def offsets_gone(play: Play) -> None:
    """What every reader had stored of its place is deleted."""
    for schema in SCHEMAS:
        await play.stage.conn.execute(f"delete from {schema}.consumer_offset")
    for name in (*READERS, "console"):
        play.stage.kill(name)
    await sleep(3.0)


async def poisoned(play: Play) -> None:
    """Each kind on each topic, with commands right behind it."""
    producer = AIOKafkaProducer(bootstrap_servers=play.stage.stack.addresses.kafka)
    await producer.start()
    try:
        for topic in set(READERS_OF) - {topics.ENROLLMENT_CONTROL}:
            for kind, value in KINDS.items():
                await _poison(play, producer, topic, kind, value)
            await _neighbours(play, topic)
    finally:
        await producer.stop()


async def poisoned_stop(play: Play) -> None:
    """What may have been a removal names nobody: nothing is sent until a person has decided."""
    await play.fill()
    producer = AIOKafkaProducer(bootstrap_servers=play.stage.stack.addresses.kafka)
    await producer.start()
    try:
        async with play.stage.silence("a record that may have been a removal was set aside"):
            await _poison(play, producer, topics.ENROLLMENT_CONTROL, "a list", KINDS["a list"])
            await sleep(8.0)
    finally:
        await producer.stop()
    await play.stage.conn.execute("update delivery.consumer_offset set withheld = false")


async def _poison(play: Play, producer: AIOKafkaProducer, topic: str, kind: str, value: bytes) -> None:
    key = f"{play.workload.prefix}-poison"
    headers = [("x-what", b"\xff\xfe"), ("content-type", b"application/cloudevents+json")]
    count = await play.sluice.transport.partitions(topic)
    partition = partition_of(key, count)
    asked_at = utc_now()
    written = await producer.send_and_wait(topic, value, key=key.encode(), headers=headers, partition=partition)
    record = Record(topic, partition, written.offset, asked_at, key.encode(), value, tuple(headers))
    play.workload.asked.append(
        Asked("poison", f"{topic}-{kind}", kind, topic, key, {}, asked_at, kind="poison", record=record)
    )


async def _neighbours(play: Play, topic: str) -> None:
    """Commands of somebody else, on the same partitions."""
    if topic == topics.ENROLLMENT_COMMANDS:
        chosen = random.Random(topic).sample(play.workload.contacts, 6)
        sequence_id = play.workload.sequences[0]
        asks = [EnrollContact(sequence_id=sequence_id, contact_id=one) for one in chosen]
        await asyncio.gather(*(play.workload.ask(one, kind="neighbour") for one in asks))
    elif topic == topics.SEQUENCES_COMMANDS:
        asks_too = [PauseSequence(sequence_id=f"{play.workload.prefix}-nobody{number}") for number in range(4)]
        await asyncio.gather(*(play.workload.ask(one, kind="neighbour") for one in asks_too))


async def erased(play: Play) -> None:
    """What erases is killed in the middle, three times."""
    for role in ("delivery-plan", "enrollment-run", "sequences-run"):
        play.stage.point("mid-erasure", role)
        await play.stage.struck()


async def look_into_topics(play: Play) -> None:
    """At rest Kafka forgets at once what takes it weeks, and no topic may hold a canary of what is gone."""
    gone = [one for one in play.workload.canaries if one not in play.workload.sequences]
    kafka = play.stage.stack.addresses.kafka
    for sequence_id in gone[:2]:
        word = play.workload.canaries[sequence_id]
        left = await topics_without(play.sluice, kafka, word, tell=play.stage.told.append)
        play.found += [Found(word, topic, count) for topic, count in left.items()]
    await keep_everything(kafka)


SCENES: Final = (
    Scene(
        "replay",
        "every reader is put back to the beginning of every topic, twice, under load",
        replayed,
        load_seconds=10.0,
    ),
    Scene("offsets-gone", "what readers had stored of their places is deleted", offsets_gone),
    Scene("poison", "seven kinds of poison on nine topics, commands right behind it", poisoned, load_seconds=12.0),
    Scene(
        "poison-stop",
        "poison where a removal may have been: sending stops until a person decides",
        poisoned_stop,
        load_seconds=12.0,
    ),
    Scene("erasure", "what erases is killed in the middle; tables and topics are searched", erased, load_seconds=14.0),
)
