"""`sluice why` answers, in a sentence and with a code, why a contact got nothing."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from chassis.clock import utc_now
from sluice_contracts import envelope
from sluice_contracts.contacts import ContactOptedOut

from tests.e2e.campaign import Campaign
from tests.e2e.command_line import CommandLine
from tests.e2e.test_console import told

pytestmark = pytest.mark.stack

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CODES = [
    "unknown",  # asked first: some seconds later the policy decides it
    "not_yet_due",
    "outside_window",
    "paused",
    "suspended",
    "removed",
    "opted_out",
    "already_in",
    "refused_by_provider",
    "edited_away",
]
"""Each contact's sequence is named after what becomes of it."""


@pytest.fixture
async def suspended(campaign: Campaign) -> AsyncIterator[str]:
    """WhatsApp sends nothing while the test runs."""
    await campaign.sluice.suspend("channel:whatsapp", reason="the provider asked for it")
    yield "channel:whatsapp"
    await campaign.sluice.restore("channel:whatsapp")


async def test_why_answers_each_way_to_get_nothing(
    campaign: Campaign, suspended: str, command_line: CommandLine
) -> None:
    people = dict(zip(CODES, await campaign.introduce(len(CODES)), strict=True))
    await _publish(campaign)
    await campaign.sink.behave("email", "status", match=people["refused_by_provider"], status=550, stage="rcpt")
    await campaign.sink.behave("email", "accept_and_drop_answer", match=people["unknown"])

    await _come_to_nothing(campaign, people)

    seen = {code: await _why(campaign, command_line, people[code], code) for code in CODES}
    assert {code: answer["code"] for code, answer in seen.items()} == {code: code for code in CODES}
    assert all(re.fullmatch(r"[A-Z`].*\.", answer["answer"]) for answer in seen.values())
    assert all(answer["decisions"] for answer in seen.values())


async def test_one_click_on_unsubscribe_ends_it_and_a_scanner_that_opens_the_link_ends_nothing(
    campaign: Campaign,
) -> None:
    (contact,) = await campaign.introduce(1)
    await campaign.launch(campaign.email("first"), campaign.email("second", "2s"), campaign.email("third", "1d"))
    await campaign.enroll([contact])
    await campaign.until_sent([contact], "first")
    mail = next(one for one in campaign.outside.accepted("email"))
    headers = mail.body.replace("\r\n ", " ")
    (link,) = re.findall(r"(?im)^List-Unsubscribe:\s*<(\S+)>", headers)
    assert re.search(r"(?im)^List-Unsubscribe-Post:\s*List-Unsubscribe=One-Click", headers)

    async with aiohttp.ClientSession() as session:
        async with session.get(link) as page:  # what a mail scanner does
            assert page.status == 200
            assert "<form" in await page.text()
        await campaign.until_sent([contact], "second")
        assert campaign.outside.events("EnrollmentStopped") == []
        async with session.post(link, data={"List-Unsubscribe": "One-Click"}) as done:
            assert done.status == 200

    await campaign.outside.until("it is stopped", lambda: bool(campaign.outside.events("EnrollmentStopped")))
    (stopped,) = campaign.outside.events("EnrollmentStopped")
    assert (stopped["contact_id"], stopped["reason"]) == (contact, "opted_out")


async def _publish(campaign: Campaign) -> None:
    at_once, tomorrow = campaign.email("mail"), campaign.email("mail", "1d")
    usual = [campaign.email("first"), tomorrow]
    ends_at_once = [at_once, campaign.email("last", "1d")]
    steps: dict[str, list[dict[str, Any]]] = {
        "outside_window": [at_once],
        "suspended": [campaign.whatsapp("mail")],
        "already_in": [tomorrow],  # nothing is sent after the refusal, which would be newer
        "refused_by_provider": ends_at_once,
        "unknown": ends_at_once,
        "edited_away": [*usual, campaign.email("last", "2d")],
    }
    for code in CODES:
        more = {"delivery": _closed_now()} if code == "outside_window" else {}
        await campaign.sluice.save(_sequence(campaign, code), campaign.definition(*steps.get(code, usual), **more))
        await campaign.sluice.publish(_sequence(campaign, code))


async def _come_to_nothing(campaign: Campaign, people: Mapping[str, str]) -> None:
    for code in CODES[1:]:
        await campaign.sluice.enroll(_sequence(campaign, code), people[code])
    await campaign.sluice.pause(_sequence(campaign, "paused"), wait="stopped")
    await campaign.sluice.remove(people["removed"], sequence=_sequence(campaign, "removed"))
    await _opt_out(campaign, people["opted_out"])
    edited = campaign.definition(campaign.email("first"), campaign.email("last", "2d"))
    await campaign.sluice.save(_sequence(campaign, "edited_away"), edited)
    await campaign.sluice.publish(_sequence(campaign, "edited_away"))
    again = await campaign.sluice.enroll_many(_sequence(campaign, "already_in"), [people["already_in"]])
    assert again.refused == {"already_enrolled": 1}
    await campaign.sluice.enroll(_sequence(campaign, "unknown"), people["unknown"])


def _sequence(campaign: Campaign, code: str) -> str:
    return f"{campaign.sequence_id}-{code}"


async def _why(campaign: Campaign, command_line: CommandLine, contact: str, code: str) -> dict[str, Any]:
    """What the command says, once the console has heard of it."""
    sequence = _sequence(campaign, code)
    step = [] if code in ("removed", "opted_out", "already_in") else ["--step", "mail"]
    asked = [contact, sequence, *step]
    path = f"/contacts/{contact}/why?sequence={sequence}" + ("&step=mail" if step else "")
    await told(campaign, path, code=code)
    answer: dict[str, Any] = await command_line.json("why", *asked, "--console", campaign.stack.addresses.console_http)
    return answer


async def _opt_out(campaign: Campaign, contact: str) -> None:
    fact = ContactOptedOut(contact_id=contact, occurred_at=utc_now())
    document = envelope.Envelope(id=f"{contact}:out", source="e2e", type=fact.TYPE)
    value = envelope.encode(document, fact.to_json())
    await (await campaign.sluice.transport.send(fact.TOPIC, key=contact, value=value))


def _closed_now() -> dict[str, Any]:
    """A window of an hour that opens in two hours, wherever the test runs."""
    opens = utc_now() + timedelta(hours=2)
    closes = opens + timedelta(hours=1)
    return {"days": WEEK, "from": f"{opens:%H:%M}", "to": f"{closes:%H:%M}", "timezone": "UTC"}
