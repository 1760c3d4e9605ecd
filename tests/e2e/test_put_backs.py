"""A service whose database is put back: no receipt is broken, and nothing that is known to be sent is sent again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest
from sluice import CommandRefused, Paused, Removed
from testkit import put_back

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

COUNT: Final = 60
BEFORE: Final = 20
AFTER: Final = 40
SERVICES: Final = ("sequences", "enrollment", "delivery")


@pytest.fixture(autouse=True)
async def no_copies(campaign: Campaign) -> AsyncIterator[None]:
    yield
    admin = await asyncpg.connect(campaign.stack.addresses.postgres_admin_url)
    try:
        for service in SERVICES:
            await admin.execute(f"drop schema if exists {service}_copy cascade")
    finally:
        await admin.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_database_that_was_put_back_breaks_no_promise(campaign: Campaign, service: str) -> None:
    outside, stack, sequence_id = campaign.outside, campaign.stack, campaign.sequence_id
    contacts = await campaign.introduce(COUNT)
    await campaign.launch(campaign.webhook("one"), campaign.webhook("two", after="4s"))
    await campaign.enroll(contacts[:BEFORE])
    await campaign.until_sent(contacts[:BEFORE], "one")
    await put_back.take(stack.addresses.postgres_admin_url, service)

    commanded = _Commanded(campaign)
    enrolled = await commanded.enroll(contacts[BEFORE:AFTER])
    await campaign.until_sent(contacts[BEFORE:AFTER], "one")
    removed = [await commanded.remove(contacts[number]) for number in (0, BEFORE)]
    paused = await commanded.pause()
    await outside.until("both removals hold", lambda: len(outside.events("ContactHalted")) >= len(removed))
    told = {data["message_id"] for data in outside.events("MessageSent")}
    outside.read_sink()
    arrived = Counter(arrival.message_id for arrival in outside.arrivals)

    await put_back.put_back(stack, service)
    await put_back.until_over(stack, service)

    with pytest.raises(CommandRefused) as refused:
        await campaign.sluice.enroll(sequence_id, contacts[AFTER])
    assert refused.value.code == "sequence_paused"
    assert await commanded.enroll(contacts[BEFORE:AFTER]) == enrolled
    assert [await commanded.remove(contacts[number]) for number in (0, BEFORE)] == removed
    assert (await commanded.pause()).epoch == paused.epoch
    outside.read_sink()
    assert Counter(arrival.message_id for arrival in outside.arrivals) == arrived, "nothing has left since the receipt"

    await campaign.sluice.resume(sequence_id, overdue="send_now", wait="resumed")
    staying = [one for one in contacts[:AFTER] if one not in (contacts[0], contacts[BEFORE])]
    await campaign.until_sent(staying, "one", "two")
    await _books_close(campaign)

    again = [arrival.message_id for arrival in outside.arrivals[sum(arrived.values()) :]]
    assert told.isdisjoint(again), "what is known to be sent is not sent again"
    sent = outside.sent()
    assert set(sent.values()) == {1}
    assert {contact for contact, step in sent if step == "two"} <= set(contacts[:AFTER])
    later = {data["contact_id"] for data in outside.events("MessageSent") if data["message_id"] not in told}
    assert later.isdisjoint({contacts[0], contacts[BEFORE]}), "who was removed gets nothing more"


class _Commanded:
    """Commands with ids of their own: asked again they are the same."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign

    async def enroll(self, contacts: list[str]) -> Any:
        return await self._campaign.sluice.enroll_many(
            self._campaign.sequence_id, contacts, command_id=f"{self._campaign.sequence_id}-enroll"
        )

    async def remove(self, contact: str) -> Removed:
        return await self._campaign.sluice.remove(contact, command_id=f"{contact}-remove")

    async def pause(self) -> Paused:
        return await self._campaign.sluice.pause(
            self._campaign.sequence_id, wait="stopped", command_id=f"{self._campaign.sequence_id}-pause"
        )


async def _books_close(campaign: Campaign) -> None:
    """Every message is in one place, and as many are sent as were told to be."""
    admin = await asyncpg.connect(campaign.stack.addresses.postgres_admin_url)
    asked = """
        select sum(planned)::int as planned, sum(pending)::int as pending, sum(claimed)::int as claimed,
            sum(sent)::int as sent, sum(failed)::int as failed, sum(dropped)::int as dropped,
            sum(expired)::int as expired, sum(unknown)::int as unknown
        from (
            select planned, pending, claimed, sent, failed, dropped, expired, unknown
            from delivery.books where sequence_id = $1
            union all
            select planned, pending, claimed, sent, failed, dropped, expired, unknown
            from delivery.books_delta where sequence_id = $1
        ) as parts
    """
    try:
        async with asyncio.timeout(30):
            while True:
                books = dict(await admin.fetchrow(asked, campaign.sequence_id) or {})
                sent = len(campaign.outside.events("MessageSent"))
                if books["sent"] == sent and books["pending"] == books["claimed"] == 0:
                    break
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    assert books.pop("planned") == sum(books.values())
