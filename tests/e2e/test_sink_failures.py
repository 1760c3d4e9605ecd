"""What a provider does wrong: each message is still delivered once, or everybody knows what became of it."""

from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.campaign import Campaign
from tests.e2e.outside import Arrival

pytestmark = pytest.mark.stack


def _waits(arrivals: list[Arrival]) -> list[float]:
    """The seconds between attempts."""
    return [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(arrivals)]


def _step(campaign: Campaign, channel: str) -> dict[str, Any]:
    steps = {"webhook": campaign.webhook, "email": campaign.email, "whatsapp": campaign.whatsapp}
    return steps[channel]("only")


async def _completed(campaign: Campaign, count: int = 1) -> None:
    outside = campaign.outside
    await outside.until("completed", lambda: len(outside.events("EnrollmentCompleted")) == count)


@pytest.mark.parametrize(
    ("channel", "answer"),
    [
        ("webhook", {"status": 429}),
        ("webhook", {"status": 503}),
        ("email", {"status": 451}),
        ("whatsapp", {"code": 130429}),
    ],
)
async def test_what_a_provider_puts_off_comes_later_once_with_growing_waits(
    campaign: Campaign, channel: str, answer: dict[str, int]
) -> None:
    contacts = await campaign.introduce(1)
    step = _step(campaign, channel)
    match = campaign.outside.number if channel == "whatsapp" else campaign.sequence_id
    await campaign.sink.behave(channel, "status", match=match, count=2, **answer)

    await campaign.launch(step)
    await campaign.enroll(contacts)
    await _completed(campaign)

    tries = campaign.outside.arrivals
    assert [one.outcome for one in tries] == ["failed", "failed", "accepted"]
    assert len({one.message_id for one in tries}) == 1
    first, second = _waits(tries)
    assert first >= 0.5
    assert second >= 1.0
    assert [data["attempt"] for data in campaign.outside.events("MessageSent")] == [3]
    assert set(campaign.outside.ended().values()) == {1}


async def test_a_provider_that_names_the_time_is_not_asked_before_it(campaign: Campaign) -> None:
    contacts = await campaign.introduce(1)
    match = campaign.sequence_id
    await campaign.sink.behave("webhook", "status", match=match, status=429, retry_after="2", count=1)

    await campaign.launch(campaign.webhook())
    await campaign.enroll(contacts)
    await _completed(campaign)

    (waited,) = _waits(campaign.outside.arrivals)
    assert waited >= 2.0


async def test_one_bad_recipient_delays_no_other(campaign: Campaign) -> None:
    bad, *others = await campaign.introduce(10)
    await campaign.sink.behave("email", "status", match=campaign.address(0), status=451)

    await campaign.launch(campaign.email())
    await campaign.enroll([bad, *others])
    await campaign.until_sent(others, "mail")

    sent = campaign.outside.sent()
    assert sent == dict.fromkeys([(other, "mail") for other in others], 1)
    assert campaign.outside.events("MessageFailed") == []
    await campaign.sluice.remove(bad, campaign.sequence_id)


@pytest.mark.parametrize("channel", ["webhook", "email", "whatsapp"])
async def test_a_refusal_for_good_ends_the_enrollment_as_failed(campaign: Campaign, channel: str) -> None:
    bad, good = await campaign.introduce(2)
    step = _step(campaign, channel)
    match = {
        "webhook": campaign.sequence_id,
        "email": campaign.address(0),
        "whatsapp": f"{campaign.outside.number}0000",
    }
    await campaign.sink.behave(channel, "refuse", match=match[channel], count=1)
    await campaign.launch(step, campaign.email("after", after="1s"))

    await campaign.enroll([bad])
    await campaign.outside.until("failed", lambda: bool(campaign.outside.events("EnrollmentFailed")))
    await campaign.enroll([good])
    await _completed(campaign)

    (failed,) = campaign.outside.events("MessageFailed")
    (ended,) = campaign.outside.events("EnrollmentFailed")
    assert (failed["contact_id"], failed["step_id"]) == (bad, "only")
    assert (ended["contact_id"], ended["step_id"], ended["code"]) == (bad, "only", failed["code"])
    assert campaign.address(0) not in str([failed, ended])
    assert campaign.outside.sent() == {(good, "only"): 1, (good, "after"): 1}
    assert [one.outcome for one in campaign.outside.arrivals] == ["refused", "accepted", "accepted"]


async def test_a_mail_whose_answer_was_lost_is_unknown_and_not_sent_again(campaign: Campaign) -> None:
    contacts = await campaign.introduce(1)
    await campaign.sink.behave("email", "accept_and_drop_answer", match=campaign.address(0), count=1)

    await campaign.launch(campaign.email("doubtful"), campaign.email("next", after="1s"))
    await campaign.enroll(contacts)
    await _completed(campaign)

    (unknown,) = campaign.outside.events("MessageUnknown")
    assert unknown["step_id"] == "doubtful"
    assert campaign.outside.sent() == {(contacts[0], "next"): 1}
    doubtful = [one.outcome for one in campaign.outside.arrivals if one.message_id == unknown["message_id"]]
    assert doubtful == ["answer_dropped"]


async def test_a_webhook_whose_answer_was_lost_is_repeated_under_its_key_and_recognised(campaign: Campaign) -> None:
    contacts = await campaign.introduce(1)
    await campaign.sink.behave("webhook", "accept_and_drop_answer", match=campaign.sequence_id, count=1)

    await campaign.launch(campaign.webhook())
    await campaign.enroll(contacts)
    await _completed(campaign)

    first, again = campaign.outside.arrivals
    assert (first.outcome, again.outcome) == ("answer_dropped", "repeated")
    assert first.message_id == again.message_id
    assert campaign.outside.events("MessageUnknown") == []
    assert campaign.outside.sent() == {(contacts[0], "hook"): 1}
