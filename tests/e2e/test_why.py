"""`sluice why` answers, in a sentence and with a code, why a contact got nothing."""

import re
from collections.abc import AsyncIterator
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


@pytest.fixture
async def suspended(campaign: Campaign) -> AsyncIterator[str]:
    """WhatsApp sends nothing while the test runs."""
    await campaign.sluice.suspend("channel:whatsapp", reason="the provider asked for it")
    yield "channel:whatsapp"
    await campaign.sluice.restore("channel:whatsapp")


async def test_why_answers_each_way_to_get_nothing(
    campaign: Campaign, suspended: str, command_line: CommandLine
) -> None:
    name = campaign.sequence_id
    people = dict(
        zip(
            (
                "not_yet_due",
                "outside_window",
                "paused",
                "suspended",
                "removed",
                "opted_out",
                "already_in",
                "refused_by_provider",
                "unknown",
                "edited_away",
            ),
            await campaign.introduce(10),
            strict=True,
        )
    )
    steps: dict[str, list[dict[str, Any]]] = {
        "outside_window": [campaign.email("mail")],
        "suspended": [campaign.whatsapp("mail")],
        # Nothing is sent after the refusal, which would be newer.
        "already_in": [campaign.email("mail", "1d")],
        "edited_away": [campaign.email("first"), campaign.email("mail", "1d"), campaign.email("last", "2d")],
    }
    for code in people:
        more = {"delivery": _closed_now()} if code == "outside_window" else {}
        usual = [campaign.email("first"), campaign.email("mail", "1d")]
        definition = campaign.definition(*steps.get(code, usual), **more)
        if code in ("refused_by_provider", "unknown"):
            definition["steps"] = [campaign.email("mail"), campaign.email("last", "1d")]
        await campaign.sluice.save(f"{name}-{code}", definition)
        await campaign.sluice.publish(f"{name}-{code}")
    await campaign.sink.behave("email", "status", match=people["refused_by_provider"], status=550, stage="rcpt")
    await campaign.sink.behave("email", "accept_and_drop_answer", match=people["unknown"])

    for code in people:
        if code != "unknown":
            await campaign.sluice.enroll(f"{name}-{code}", people[code])
    await campaign.sluice.pause(f"{name}-paused", wait="stopped")
    await campaign.sluice.remove(people["removed"], sequence=f"{name}-removed")
    await _opt_out(campaign, people["opted_out"])
    await campaign.sluice.save(
        f"{name}-edited_away", campaign.definition(campaign.email("first"), campaign.email("last", "2d"))
    )
    await campaign.sluice.publish(f"{name}-edited_away")
    again = await campaign.sluice.enroll_many(f"{name}-already_in", [people["already_in"]])
    await campaign.sluice.enroll(f"{name}-unknown", people["unknown"])

    assert again.refused == {"already_enrolled": 1}
    # The policy decides what is unknown after some seconds: that is asked first.
    codes = ["unknown", *(code for code in people if code != "unknown")]
    seen = {code: await _why(campaign, command_line, people[code], code) for code in codes}
    assert {code: answer["code"] for code, answer in seen.items()} == {code: code for code in people}
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


async def _why(campaign: Campaign, command_line: CommandLine, contact: str, code: str) -> dict[str, Any]:
    """What the command says, once the console has heard of it."""
    sequence = f"{campaign.sequence_id}-{code}"
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
