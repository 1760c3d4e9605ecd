"""What recipients say: replies, opt-outs, and one click on unsubscribe."""

from typing import Any

import orjson
import pytest
from delivery.domain.report import opaque

from services.delivery.tests.component.receiving import (
    Client,
    World,
    link,
    report,
    sent_message,
    signed,
    whatsapp,
)

pytestmark = pytest.mark.stack


async def test_a_reply_that_quotes_a_message_is_its_contacts(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent, provider_message_id=opaque("wamid.Q"))
    message = {"id": "wamid.R", "from": "49170999", "type": "text", "context": {"id": "wamid.Q"}}

    statuses = [await whatsapp(client, messages=[message]) for _ in range(2)]

    first, again = await world.said()
    assert statuses == [200, 200]
    assert (first.type, first.topic, first.key) == ("ContactReplied", "contacts.activity", "c")
    assert (first.data["channel"], first.data["message_id"]) == ("whatsapp", message_id)
    assert first.envelope["id"] == again.envelope["id"]
    assert b"49170999" not in first.value


async def test_a_reply_that_quotes_nothing_is_everybodys_with_that_number(world: World, client: Client) -> None:
    for contact_id, number in {"a": "+49 170 1234567", "b": "491701234567", "c": "4917012345678", "d": "x"}.items():
        await world.contacts(contact_id, addresses={"whatsapp": number})
    await world.contacts("e")
    await world.contacts("gone", addresses={"whatsapp": "491701234567"})
    await world.hear(("contacts.events", "gone", None))
    message = {"id": "wamid.R", "from": "491701234567", "type": "button"}

    await whatsapp(client, messages=[message, {**message, "from": "15550001"}])

    assert [(one.type, one.key) for one in await world.said()] == [("ContactReplied", "b"), ("ContactReplied", "a")]


async def test_who_stops_marketing_in_whatsapp_has_opted_out_of_that_channel(world: World, client: Client) -> None:
    await world.contacts("a", addresses={"whatsapp": "+491701234567"})

    await whatsapp(
        client, user_preferences=[{"wa_id": "491701234567", "category": "marketing_messages", "value": "stop"}]
    )

    (told,) = await world.said()
    assert (told.type, told.key, told.data["channel"]) == ("ContactOptedOut", "a", "whatsapp")


async def test_replies_and_opt_outs_in_our_words_are_announced(world: World, client: Client) -> None:
    await report(client, "contact.replied", contact_id="c", channel="sms", message_id="m-1")
    await report(client, "contact.opted_out", contact_id="c", channel="email", reason="asked on the phone")
    await report(client, "contact.opted_out", post_id="post-2", contact_id="d")

    replied, one, every = await world.said()
    assert (replied.type, replied.data["channel"], replied.data["message_id"]) == ("ContactReplied", "sms", "m-1")
    assert (one.type, one.data["channel"], one.data["reason"]) == ("ContactOptedOut", "email", "asked on the phone")
    assert (every.type, every.key, every.data.get("channel")) == ("ContactOptedOut", "d", None)


async def test_nothing_happens_later_than_now(world: World, client: Client) -> None:
    data = {"contact_id": "c", "channel": "x"}
    body = orjson.dumps({"type": "contact.replied", "timestamp": "2999-01-01T00:00:00Z", "data": data})

    await client.post("/reports", data=body, headers=signed(body))

    (told,) = await world.said()
    assert told.data["occurred_at"] == told.envelope["time"]


async def test_one_click_opts_out_of_every_channel(world: World, client: Client) -> None:
    answer = await client.post(link(), data={"List-Unsubscribe": "One-Click"})

    (told,) = await world.said()
    assert answer.status == 200
    assert "You are unsubscribed" in await answer.text()
    assert (told.type, told.topic, told.key) == ("ContactOptedOut", "contacts.activity", "c")
    assert told.data["reason"] == "unsubscribed"
    assert "channel" not in told.data


async def test_clicking_again_says_the_same_again(world: World, client: Client) -> None:
    statuses = [(await client.post(link())).status for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert len({one.envelope["id"] for one in await world.said()}) == 1


async def test_opening_the_link_changes_nothing_and_shows_one_button(world: World, client: Client) -> None:
    answer = await client.get(link())
    head = await client.head(link())
    options = await client.options(link())

    page = await answer.text()
    assert (answer.status, head.status, options.status) == (200, 200, 204)
    assert answer.content_type == "text/html"
    assert page.count("<button") == page.count('method="post"') == 1
    assert '<html lang="en">' in page
    assert not any(what in page for what in ("<script", "http:", "https:", "src=", "@import", "url("))
    assert (answer.headers["X-Robots-Tag"], answer.headers["Cache-Control"]) == ("noindex, nofollow", "no-store")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert options.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert await head.text() == ""
    assert await world.said() == []


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_link_that_is_none_is_not_found_and_says_so_to_people(
    world: World, client: Client, method: str
) -> None:
    for path in (link()[:-1], link() + "A", "/unsubscribe/guess", "/unsubscribe/%00%ff"):
        answer = await getattr(client, method)(path)
        assert answer.status == 404
        assert "This link does not work" in await answer.text()

    assert await world.said() == []


async def test_while_the_database_is_away_everybody_is_asked_to_come_again(world: World, client: Client) -> None:
    body = orjson.dumps({"type": "contact.opted_out", "data": {"contact_id": "c"}})
    await world.pool.close()

    opt_out = await client.post(link())
    told = await client.post("/reports", data=body, headers=signed(body))

    assert (opt_out.status, told.status) == (503, 503)
    assert opt_out.headers["Retry-After"] == told.headers["Retry-After"] == "5"
    assert "try again" in await opt_out.text()
