"""The life of a sequence through the SDK, seen from outside: the topics, the sink, and at the end every table."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest
from sluice import CommandRefused
from sluice_contracts.base import parse_timestamp
from sluice_contracts.sequences import SequenceState
from testkit.demo import traces

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

CANARY = "canary-2d9be71c"
COUNT = 20
DELAY = timedelta(seconds=4)
BOOKING = timedelta(milliseconds=50)
"""A sender says when it sent by its own copy of the database's clock; the delay is counted from the booking."""


async def test_a_sequence_lives_from_its_first_draft_to_its_last_row(campaign: Campaign) -> None:
    contacts = await campaign.introduce(COUNT)

    await _draft(campaign)
    await _publish_and_enroll(campaign, contacts)
    paused = await _pause(campaign, contacts)
    stood = await _resume(campaign, paused)
    await _remove(campaign, contacts.pop())
    await _edit(campaign)
    await _everybody_gets_through(campaign, contacts, stood)
    await _delete(campaign)


async def test_steps_come_in_order_each_once_and_never_before_they_are_due(campaign: Campaign) -> None:
    contacts = await campaign.introduce(COUNT)
    steps = [campaign.whatsapp("one"), campaign.email("two", after="1s"), campaign.webhook("three", after="2s")]

    await campaign.launch(*steps)
    await campaign.enroll(contacts)
    await campaign.until_sent(contacts, "one", "two", "three")

    came = {arrival.message_id: arrival.at for arrival in campaign.outside.accepted()}
    by_contact: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for data in campaign.outside.events("MessageSent"):
        by_contact[data["contact_id"]].append(data)
    assert set(by_contact) == set(contacts)
    for sent in by_contact.values():
        assert [data["step_id"] for data in sent] == ["one", "two", "three"]
        times = [came[data["message_id"]] for data in sent]
        assert times == sorted(times)
        assert all(at >= parse_timestamp(data["due_at"]) for at, data in zip(times, sent, strict=True))
    assert len(campaign.outside.arrivals) == 3 * COUNT


async def test_the_same_command_again_changes_nothing_and_gets_the_same_answer(campaign: Campaign) -> None:
    contacts = await campaign.introduce(1)
    await campaign.launch(campaign.whatsapp(), campaign.email(after="1h"))

    first = await campaign.sluice.enroll(campaign.sequence_id, contacts[0], command_id=f"{campaign.sequence_id}-once")
    again = await campaign.sluice.enroll(campaign.sequence_id, contacts[0], command_id=f"{campaign.sequence_id}-once")
    with pytest.raises(CommandRefused) as another:
        await campaign.sluice.enroll(campaign.sequence_id, contacts[0])

    assert again == first
    assert another.value.code == "already_enrolled"
    await campaign.until_sent(contacts, "hello")
    assert len(campaign.outside.events("ContactEnrolled")) == 1


async def _draft(campaign: Campaign) -> None:
    """A draft comes back as it was saved; who goes on with an older one overwrites nothing."""
    draft = campaign.definition(campaign.whatsapp())
    first = await campaign.sluice.save(campaign.sequence_id, draft)
    found = await campaign.sluice.sequence(campaign.sequence_id)
    second = await campaign.sluice.save(campaign.sequence_id, _edition(campaign), first.revision)
    with pytest.raises(CommandRefused) as stale:
        await campaign.sluice.save(campaign.sequence_id, draft, first.revision)

    assert found is not None
    assert (found.status, found.draft) == ("draft", draft)
    assert second.revision == first.revision + 1
    assert stale.value.code == "conflict"


async def _publish_and_enroll(campaign: Campaign, contacts: list[str]) -> None:
    published = await campaign.sluice.publish(campaign.sequence_id)
    entered = await campaign.enroll(contacts)

    assert published.version == 1
    assert (entered.enrolled, dict(entered.refused)) == (COUNT, {})
    await campaign.until_sent(contacts, "hello")
    hello = sorted(campaign.outside.accepted("whatsapp"), key=lambda arrival: arrival.to)
    assert [number for number, one in enumerate(hello) if f'"Ada {number}"' not in one.body] == []


async def _pause(campaign: Campaign, contacts: list[str]) -> SequenceState:
    """Everybody waits for the second step: exactly that many sends are dropped, and nobody enters."""
    paused = await campaign.sluice.pause(campaign.sequence_id, "wrong price", wait="stopped")
    with pytest.raises(CommandRefused) as late:
        await campaign.sluice.enroll(campaign.sequence_id, contacts[0])

    assert paused.stopped
    assert paused.state is not None
    assert paused.state.receipts is not None
    receipts = paused.state.receipts
    assert (receipts.dropped, receipts.in_flight) == (COUNT, 0)
    assert late.value.code == "sequence_paused"
    campaign.outside.read_sink()
    assert _after(campaign, receipts.halted_at) == 0
    return paused.state


async def _resume(campaign: Campaign, paused: SequenceState) -> timedelta:
    """Until it nothing has come; the clock by which steps are due stood for as long as the pause, which comes back."""
    resumed = await campaign.sluice.resume(campaign.sequence_id, wait="resumed")
    again = await campaign.sluice.resume(campaign.sequence_id, wait="resumed")

    assert resumed.running
    assert (again.running, again.epoch) == (True, resumed.epoch)
    assert resumed.state is not None
    assert paused.paused_at is not None
    assert paused.receipts is not None
    assert resumed.state.resumed_at is not None
    campaign.outside.read_sink()
    assert _after(campaign, paused.receipts.halted_at) == 0
    stood = resumed.state.resumed_at - paused.paused_at
    assert resumed.state.clock_offset_seconds == pytest.approx(stood.total_seconds(), abs=0.001)
    return stood


async def _remove(campaign: Campaign, contact: str) -> None:
    removed = await campaign.sluice.remove(contact, campaign.sequence_id, wait="halted")
    with pytest.raises(CommandRefused) as again:
        await campaign.sluice.enroll(campaign.sequence_id, contact)

    assert len(removed.removed) == 1
    assert removed.halted is not None
    assert (tuple(removed.halted.enrollment_ids), removed.halted.dropped) == (removed.removed, 1)
    assert again.value.code == "removed"


async def _edit(campaign: Campaign) -> None:
    await campaign.sluice.save(campaign.sequence_id, _edition(campaign, campaign.email("thanks", after="1s")))
    published = await campaign.sluice.publish(campaign.sequence_id)

    assert published.version == 2


async def _everybody_gets_through(campaign: Campaign, contacts: list[str], stood: timedelta) -> None:
    """All but the one who was removed, each step once, in the version that was newest when it came to it."""
    outside = campaign.outside
    await outside.until("all completed", lambda: len(outside.events("EnrollmentCompleted")) == len(contacts))
    await campaign.until_sent(contacts, "hello", "tips", "crm", "thanks")

    sent = outside.sent()
    assert set(sent.values()) == {1}
    assert {contact for contact, step in sent if step != "hello"} == set(contacts)
    assert set(outside.ended()) == {arrival.message_id for arrival in outside.arrivals}
    assert len(outside.arrivals) == COUNT + 3 * len(contacts)
    assert {data["version"] for data in outside.events("MessageSent") if data["step_id"] == "thanks"} == {2}
    assert min(_waited(campaign, "hello", "tips")) >= DELAY + stood - BOOKING


async def _delete(campaign: Campaign) -> None:
    """After its last receipt no row of any schema holds a word of it, and it is gone from its topic."""
    deleted = await campaign.sluice.delete(campaign.sequence_id, wait="erased")
    async with traces.database(campaign.stack.addresses.postgres_admin_url) as conn:
        left = await traces.rows_with(conn, CANARY)
    again = await campaign.sluice.delete(campaign.sequence_id, wait="erased")

    assert deleted.erasure is not None
    assert set(deleted.erasure.rows) == {"sequences", "enrollment", "delivery", "console"}
    assert again.erasure == deleted.erasure
    assert left == {}
    outside = campaign.outside
    await outside.until("the tombstone", lambda: any(event.gone for event in outside.happened))
    assert await campaign.sluice.sequence(campaign.sequence_id) is None
    with pytest.raises(CommandRefused) as late:
        await campaign.sluice.publish(campaign.sequence_id)
    assert late.value.code == "deleted"


def _edition(campaign: Campaign, *more: dict[str, Any]) -> dict[str, Any]:
    steps = [
        campaign.whatsapp("hello"),
        campaign.email("tips", after=f"{DELAY.seconds}s"),
        campaign.webhook("crm", after="1s"),
        *more,
    ]
    return campaign.definition(*steps) | {"name": CANARY}


def _after(campaign: Campaign, moment: datetime) -> int:
    return sum(arrival.at > moment for arrival in campaign.outside.arrivals)


def _waited(campaign: Campaign, before: str, after: str) -> list[timedelta]:
    """How long each contact waited between two steps."""
    events = campaign.outside.events("MessageSent")
    at = {(data["contact_id"], data["step_id"]): parse_timestamp(data["sent_at"]) for data in events}
    return [moment - at[contact, before] for (contact, step), moment in at.items() if step == after]
