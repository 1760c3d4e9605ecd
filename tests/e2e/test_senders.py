"""Senders come and go while messages are under way: nothing is lost, nothing comes twice."""

import asyncio
from collections.abc import Iterator

import pytest
from devstack.stack import Stack
from testkit.demo.proofs import shares

from tests.e2e.campaign import Campaign

pytestmark = pytest.mark.stack

MANY = 1_500
SLOW_SECONDS = 1.0
MAILS = 100
VERY_SLOW_SECONDS = 1.5


@pytest.fixture
def one_sender_afterwards(stack: Stack) -> Iterator[None]:
    yield
    stack.scale_senders(1)


async def _scale(stack: Stack, senders: int) -> None:
    await asyncio.to_thread(stack.scale_senders, senders)


def _each_once(campaign: Campaign, contacts: list[str], step: str) -> None:
    outside = campaign.outside
    assert outside.sent() == dict.fromkeys([(contact, step) for contact in contacts], 1)
    assert set(outside.ended().values()) == {1}
    assert len(outside.accepted()) == len(contacts)
    assert {arrival.message_id for arrival in outside.arrivals} == outside.ended().keys()


@pytest.mark.usefixtures("one_sender_afterwards")
async def test_senders_are_added_and_removed_while_they_send(campaign: Campaign) -> None:
    contacts = await campaign.introduce(MANY)
    await campaign.sink.behave("webhook", "slow", match=campaign.sequence_id, delay_seconds=SLOW_SECONDS)
    await campaign.launch(campaign.webhook())
    for first in range(0, MANY, 750):
        await campaign.enroll(contacts[first : first + 750])
    outside = campaign.outside

    await outside.until("the first sends", lambda: len(outside.arrivals) > 0)
    await _scale(campaign.stack, 3)
    took = await _until_three_share(campaign)
    await _scale(campaign.stack, 1)
    outside.read_sink()
    at_one_again = len(outside.arrivals)
    await campaign.sink.forgive()
    await campaign.until_sent(contacts, "hook")

    assert at_one_again < MANY
    assert len(took) == 3
    assert all(took.values())
    _each_once(campaign, contacts, "hook")


@pytest.mark.usefixtures("one_sender_afterwards")
async def test_a_sender_that_is_told_to_stop_finishes_what_left_and_gives_the_rest_to_another(
    campaign: Campaign,
) -> None:
    contacts = await campaign.introduce(MAILS)
    outside, stack = campaign.outside, campaign.stack
    await campaign.sink.behave("email", "slow", match=campaign.sequence_id, delay_seconds=VERY_SLOW_SECONDS)
    await campaign.launch(campaign.email())
    await campaign.enroll(contacts)

    await outside.until("sends under way", lambda: len(outside.arrivals) > len(outside.events("MessageSent")) + 8)
    await _scale(stack, 0)
    outside.read_sink()
    left = {arrival.message_id for arrival in outside.arrivals}
    await outside.until("what had left is finished", lambda: outside.ended().keys() >= left)
    finished = outside.ended().keys()
    await campaign.sink.forgive()
    await _scale(stack, 1)
    await campaign.until_sent(contacts, "mail")

    assert finished == left
    assert 0 < len(left) < MAILS
    assert outside.events("MessageUnknown") == []
    _each_once(campaign, contacts, "mail")


async def _until_three_share(campaign: Campaign) -> dict[str, int]:
    """What each sender has sent, once all three have sent something."""
    took: dict[str, int] = {}
    async with asyncio.timeout(60):
        while len(took) < 3 or not all(took.values()):
            took = await shares(campaign.stack)
    return took
