"""Reports and bounces of messages that were sent, and posts that are refused."""

from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from chassis.health import Health
from delivery.domain.unsubscribe import token_of
from delivery.loops.receiver import Receiver, ReceiverSecrets
from prometheus_client import CollectorRegistry

from services.delivery.tests.component.receiving import (
    Client,
    World,
    bounce,
    report,
    sent_message,
    signed,
    whatsapp,
)

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("kind", ["delivered", "read", "bounced"])
async def test_a_report_in_our_words_is_announced(world: World, client: Client, sent: Any, kind: str) -> None:
    message_id = await sent_message(world, sent)

    answer = await report(client, f"message.{kind}", message_id=message_id, provider_message_id="p-1")

    (event,) = await world.said()
    assert answer == (200, {"known": 1})
    assert (event.type, event.topic, event.key) == ("MessageReported", "delivery.events", "c")
    assert (event.data["report"], event.data["message_id"]) == (kind, message_id)
    assert await world.outcomes() == [("hello", "sent")]


async def test_who_complains_has_opted_out(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)

    await report(client, "message.complained", message_id=message_id)

    told, opted_out = await world.said()
    assert (told.type, told.data["report"]) == ("MessageReported", "complained")
    assert (opted_out.type, opted_out.topic, opted_out.key) == ("ContactOptedOut", "contacts.activity", "c")
    assert opted_out.data["reason"] == "complained"
    assert "channel" not in opted_out.data


async def test_the_same_report_again_by_whatever_way_is_the_same_event_again(
    world: World, client: Client, sent: Any
) -> None:
    message_id = await sent_message(world, sent)

    await report(client, "message.bounced", message_id=message_id)
    await report(client, "message.bounced", post_id="post-2", message_id=message_id)
    await bounce(client, message_id)

    assert len({one.envelope["id"] for one in await world.said()}) == 1


async def test_a_mail_that_came_back_has_bounced(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)

    answers = [await bounce(client, message_id, action) for action in ("delayed", "failed", "delivered")]

    assert answers == [(200, {"known": 0}), (200, {"known": 1}), (200, {"known": 1})]
    assert [one.data["report"] for one in await world.said()] == ["bounced", "delivered"]


async def test_what_is_not_signed_or_not_of_now_is_refused_and_says_why(world: World, client: Client) -> None:
    body = orjson.dumps({"type": "contact.opted_out", "data": {"contact_id": "c"}})
    good = signed(body)
    tries = {
        "the headers webhook-id, webhook-timestamp and webhook-signature are needed": [
            {},
            {**good, "webhook-id": ""},
            {**good, "webhook-timestamp": "soon"},
        ],
        "the signature does not fit": [
            signed(body, key=b"another key"),
            {**good, "webhook-id": "another"},
            {**good, "webhook-signature": ""},
            {**good, "webhook-signature": "v1,\udcff"},
            {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        ],
        "webhook-timestamp is more than 300 seconds from now": [signed(body, age=301), signed(body, age=-310)],
    }

    for path in ("/reports", "/bounces"):
        for detail, headers in tries.items():
            for one in headers:
                answer = await client.post(path, data=body, headers=one)
                assert (answer.status, await answer.json()) == (401, {"detail": detail}), (path, one)
    assert await world.said() == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"not json", "the body is no JSON"),
        (b"[]", "type must be one of"),
        (b'{"type": "message.eaten", "data": {}}', "type must be one of"),
        (b'{"type": ["message.read"], "data": {}}', "type must be one of"),
        (b'{"type": "message.read"}', "the report is not valid"),
        (b'{"type": "message.read", "data": {"message_id": "secret value"}}', "the report is not valid"),
        (b'{"type": "contact.replied", "data": {"contact_id": "c"}}', "the report is not valid"),
    ],
)
async def test_signed_nonsense_is_refused_by_place_and_rule_never_with_a_value(
    world: World, client: Client, body: bytes, detail: str
) -> None:
    answer = await client.post("/reports", data=body, headers=signed(body))

    text = await answer.text()
    assert answer.status == 400
    assert detail in text
    assert "secret" not in text
    assert await world.said() == []


async def test_signed_mail_that_is_no_notification_is_taken_so_that_nobody_sends_it_again(
    world: World, client: Client
) -> None:
    for body in (b"", b"Subject: Holiday\n\nBack on Monday.\n", bytes(range(256)) * 40):
        answer = await client.post("/bounces", data=body, headers=signed(body))
        assert (answer.status, await answer.json()) == (200, {"known": 0})

    assert await world.said() == []


@pytest.mark.parametrize(("path", "size"), [("/reports", 64 * 1024 + 1), ("/bounces", 1024 * 1024 + 1)])
async def test_what_is_too_large_is_refused(client: Client, path: str, size: int) -> None:
    body = b"x" * size

    answer = await client.post(path, data=body, headers=signed(body))

    assert answer.status == 413


async def test_without_secrets_nothing_is_taken(world: World, sent: Any) -> None:
    message_id = await sent_message(world, sent)
    receiver = Receiver(
        world.pipeline, host="x", port=0, secrets=ReceiverSecrets(), health=Health(registry=CollectorRegistry())
    )
    async with TestClient(TestServer(receiver.application())) as bare:
        statuses = [
            (await report(bare, "message.delivered", message_id=message_id))[0],
            (await bounce(bare, message_id))[0],
            await whatsapp(bare, statuses=[]),
            (await bare.post(f"/unsubscribe/{token_of(message_id, 'c', key=b'')}")).status,
        ]

    assert statuses == [401, 401, 401, 404]
    assert await world.said() == []
