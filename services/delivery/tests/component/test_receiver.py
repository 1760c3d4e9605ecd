"""Providers' reports over HTTP: what is signed and known is announced, everything else changes nothing."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from chassis.health import Health
from delivery.domain.report import opaque
from delivery.loops.receiver import Receiver, ReceiverSecrets
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

pytestmark = pytest.mark.stack

World = Any
Client = TestClient[web.Request, web.Application]
SECRET = "app-secret"


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    receiver = Receiver(
        world.pipeline,
        host="127.0.0.1",
        port=0,
        secrets=ReceiverSecrets(whatsapp_app=SecretStr(SECRET), whatsapp_verify_token=SecretStr("verify-me")),
        health=Health(registry=CollectorRegistry()),
    )
    async with TestClient(TestServer(receiver.application())) as opened:
        yield opened


def body(*statuses: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "object": "whatsapp_business_account",
            "entry": [{"id": "1", "changes": [{"field": "messages", "value": {"statuses": list(statuses)}}]}],
        }
    )


def signed(content: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), content, hashlib.sha256).hex()}


async def sent_message(world: World, sent: Any) -> str:
    """The id of a message that was sent."""
    await world.sequence()
    await world.contacts("c")
    await world.enroll("c")
    (row,) = await world.claim()
    made = sent(row, "again")
    await world.book(made)
    await world.said()
    return str(made.message_id)


async def test_a_signed_report_of_a_known_message_is_announced(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)
    content = body({"id": "wamid.1", "status": "delivered", "biz_opaque_callback_data": message_id})

    answer = await client.post("/whatsapp", data=content, headers=signed(content))

    (event,) = await world.said()
    assert answer.status == 200
    assert (event.type, event.topic, event.key) == ("MessageReported", "delivery.events", "c")
    assert (event.data["report"], event.data["message_id"]) == ("delivered", message_id)
    assert event.data["provider_message_id"] == opaque("wamid.1")


async def test_the_same_report_again_is_the_same_event_again(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)
    content = body({"id": "wamid.1", "status": "read", "biz_opaque_callback_data": message_id})

    for _ in range(2):
        await client.post("/whatsapp", data=content, headers=signed(content))

    first, again = await world.said()
    assert first.envelope["id"] == again.envelope["id"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": "sha256=\udcff\udcfe"},
        {"X-Hub-Signature-256": "sha1=" + "0" * 40},
    ],
)
async def test_what_is_not_signed_is_refused(world: World, client: Client, headers: dict[str, str]) -> None:
    content = body({"id": "w", "status": "delivered", "biz_opaque_callback_data": "x"})

    by_nobody = await client.post("/whatsapp", data=content, headers=headers)
    by_another = await client.post("/whatsapp", data=content, headers=signed(content, "another-secret"))
    of_something_else = await client.post("/whatsapp", data=content + b" ", headers=signed(content))

    assert {by_nobody.status, by_another.status, of_something_else.status} == {401}
    assert await world.said() == []


async def test_signed_garbage_is_answered_and_changes_nothing(world: World, client: Client, sent: Any) -> None:
    message_id = await sent_message(world, sent)
    contents = {
        b"not json": 400,
        b"\xff\xfe": 400,
        b"[" * 5_000: 400,
        b"null": 200,
        b'{"entry": 7}': 200,
        b'{"entry": [{"changes": {"value": []}}]}': 200,
        body({"status": "delivered"}): 200,
        body({"status": "delivered", "biz_opaque_callback_data": "not-an-id"}): 200,
        body({"status": "delivered", "biz_opaque_callback_data": "00000000-0000-8000-a000-000000000000"}): 200,
        body({"status": "sent", "biz_opaque_callback_data": message_id}): 200,
    }

    answers = [(await client.post("/whatsapp", data=one, headers=signed(one))).status for one in contents]

    assert answers == list(contents.values())
    assert await world.said() == []


async def test_a_report_with_a_provider_id_that_nothing_could_hold_is_taken_like_any_other(
    world: World, client: Client, sent: Any
) -> None:
    message_id = await sent_message(world, sent)
    content = body(
        {"id": "w\x00", "status": "delivered", "biz_opaque_callback_data": message_id},
        {"id": "w" * 5_000, "status": "read", "biz_opaque_callback_data": message_id},
    )

    answer = await client.post("/whatsapp", data=content, headers=signed(content))

    assert answer.status == 200
    assert ["provider_message_id" in one.data for one in await world.said()] == [True, True]


async def test_more_than_meta_ever_posts_is_refused(client: Client) -> None:
    content = b"x" * (3 * 1024 * 1024 + 1)

    answer = await client.post("/whatsapp", data=content, headers=signed(content))

    assert answer.status == 413


async def test_the_address_answers_only_who_knows_the_token(client: Client) -> None:
    asked = {"hub.mode": "subscribe", "hub.challenge": "42"}

    right = await client.get("/whatsapp", params={**asked, "hub.verify_token": "verify-me"})
    wrong = await client.get("/whatsapp", params={**asked, "hub.verify_token": "guess\u00e9"})
    without = await client.get("/whatsapp", params=asked)

    assert (right.status, await right.text()) == (200, "42")
    assert (wrong.status, without.status) == (403, 403)
