"""What is deleted is gone: from every schema, every topic, every log, whatever crashes and whatever comes late."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from chassis.clock import new_id
from devstack.stack import Stack
from sluice import Sluice
from sluice.transport import Record
from sluice_contracts import envelope, topics
from sluice_contracts.contacts import ContactUpdated
from testkit.demo import traces
from testkit.stack import SERVICES

from tests.e2e.campaign import Campaign
from tests.e2e.conftest import QUICK
from tests.e2e.outside import TOPICS, Outside
from tests.e2e.sink import SinkControl

pytestmark = pytest.mark.stack

CONTACTS = 3_000
SEQUENCE_CANARY = "canary-in-a-sequence"
CONTACT_CANARY = "canary-in-a-contact"
WAIT_SECONDS_MAX = 90.0


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """A stack whose topics may be made to forget quickly."""
    root = Path(tempfile.mkdtemp(prefix="sluice-erasure-"))
    found = Stack.at(root)
    try:
        found.start(services=True, senders=2, attached=True, env=QUICK)
        yield found
    finally:
        found.stop()
        found.reset()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
async def loaded(own_stack: Stack) -> AsyncIterator[Campaign]:
    unique = new_id()[:8]
    outside = Outside(f"e2e-{unique}", f"4{int(unique, 16):010d}", own_stack.addresses.sink_file)
    async with (
        Sluice(own_stack.addresses.kafka, actor="e2e", seconds_max=WAIT_SECONDS_MAX) as sluice,
        sluice.events(*TOPICS, topics.ERASURE_RECEIPTS, topics.SEQUENCES_CONTROL) as stream,
    ):
        outside.begin(stream)
        yield Campaign(own_stack, sluice, SinkControl(own_stack.addresses.sink_http), outside)
        await outside.end()


async def test_a_deletion_and_a_contact_s_erasure_leave_no_trace(loaded: Campaign) -> None:
    stack, sluice, outside = loaded.stack, loaded.sluice, loaded.outside
    first, second = loaded.email("first"), loaded.email("second", "1h")
    first["message"]["text"] += f" {SEQUENCE_CANARY}"
    contacts = await loaded.introduce(CONTACTS)
    await loaded.launch(first, second, name=f"Campaign {SEQUENCE_CANARY}")
    enrolled = 0
    for start in range(0, CONTACTS, 1_000):
        enrolled += (await loaded.enroll(contacts[start : start + 1_000])).enrolled
    await outside.until("a part is sent", lambda: len(outside.events("MessageSent")) > CONTACTS // 10)

    deleting = asyncio.create_task(_deleted_whatever_crashes(sluice, loaded.sequence_id))
    await outside.until("it is being deleted", lambda: bool(outside.events("SequenceDeleted")))
    for name in ("delivery-plan", "enrollment", "sequences", "sender-1"):
        await asyncio.to_thread(stack.kill, name)
    await deleting
    await outside.until("it is erased", lambda: bool(outside.events("SequenceErasureCompleted")), seconds_max=90)
    (completed,) = outside.events("SequenceErasureCompleted")

    assert completed["rows"].keys() == set(SERVICES)
    assert completed["rows"]["enrollment"]["enrollment"] == enrolled
    assert completed["rows"]["delivery"]["message"] == sum(outside.ended().values())
    assert max(outside.ended().values()) == 1

    await _replay(sluice, topics.ENROLLMENT_EVENTS, loaded.sequence_id)
    await _replay(sluice, topics.SEQUENCES_EVENTS, loaded.sequence_id)
    await _forget_a_contact(loaded, contacts[0])

    for canary in (SEQUENCE_CANARY, CONTACT_CANARY):
        async with traces.database(stack.addresses.postgres_admin_url) as conn:
            assert await traces.rows_with(conn, canary) == {}
        assert await traces.topics_without(sluice, stack.addresses.kafka, canary, tell=lambda _: None) == {}
        assert _logs_with(stack, canary) == []
        assert canary not in await _sink_configuration(stack)
    async with traces.database(stack.addresses.postgres_admin_url) as conn:
        assert await traces.pending(conn, loaded.sequence_id) == 0


async def _deleted_whatever_crashes(sluice: Sluice, sequence_id: str) -> None:
    """Asked twice, with the same id."""
    command_id = new_id()
    await sluice.delete(sequence_id, wait="erased", command_id=command_id)
    await sluice.delete(sequence_id, wait="erased", command_id=command_id)


async def _replay(sluice: Sluice, topic: str, sequence_id: str) -> None:
    """What once was said of the sequence is said again, behind its end."""
    said: list[Record] = []
    async for batch in sluice.transport.read_to_end(topic):
        said += [record for record in batch if record.value is not None and sequence_id.encode() in record.value]
    for record in said[:500]:
        await (await sluice.transport.send(topic, key=(record.key or b"").decode(), value=record.value))


async def _forget_a_contact(loaded: Campaign, contact_id: str) -> None:
    """A contact in another sequence, with a canary in all that is personal of it, is deleted by the account."""
    sluice, outside = loaded.sluice, loaded.outside
    other = f"{loaded.sequence_id}-other"
    await sluice.save(other, loaded.definition(loaded.email("hello"), loaded.email("later", "1h")))
    await sluice.publish(other)
    await _write_contact(sluice, contact_id)
    await sluice.enroll(other, contact_id)
    await outside.until("it got its first message", lambda: outside.sent()[contact_id, "hello"] == 1)
    await (await sluice.transport.send(topics.CONTACTS_EVENTS, key=contact_id, value=None))

    def erased() -> Counter[str]:
        return Counter(data["service"] for data in outside.events("ContactErased") if data["contact_id"] == contact_id)

    await outside.until("everybody has erased it", lambda: erased().keys() >= set(SERVICES) - {"sequences"})
    assert max(erased().values()) == 1


async def _write_contact(sluice: Sluice, contact_id: str) -> None:
    record = ContactUpdated(
        contact_id=contact_id,
        state_version=2,
        attributes={"first_name": CONTACT_CANARY},
        tags=[CONTACT_CANARY],
        addresses={"email": f"{CONTACT_CANARY}@example.com"},
        opted_out=False,
    )
    document = envelope.Envelope(id=new_id(), source="e2e", type=record.TYPE)
    value = envelope.encode(document, record.to_json())
    await (await sluice.transport.send(record.TOPIC, key=contact_id, value=value))


def _logs_with(stack: Stack, canary: str) -> list[str]:
    return [
        path.name for path in stack.layout.logs.iterdir() if path.is_file() and canary.encode() in path.read_bytes()
    ]


async def _sink_configuration(stack: Stack) -> str:
    url = f"{stack.addresses.sink_http}/_sink/behaviour"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()
