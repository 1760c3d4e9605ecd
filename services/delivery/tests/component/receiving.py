"""The receiver of providers' and recipients' posts over a real HTTP server, and what they post."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from chassis.clock import utc_now
from chassis.health import Health
from delivery.domain.unsubscribe import token_of
from delivery.loops.receiver import Receiver, ReceiverSecrets
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

World = Any
Client = TestClient[web.Request, web.Application]
APP_SECRET = "app-secret"
REPORT_KEY = b"0123456789abcdef0123456789abcdef"
UNSUBSCRIBE_KEY = "a secret that never changes"
NOBODY = "00000000-0000-8000-a000-000000000000"


@asynccontextmanager
async def receiving(world: World) -> AsyncIterator[Client]:
    """A client of the receiver, which knows every secret."""
    receiver = Receiver(
        world.pipeline,
        host="127.0.0.1",
        port=0,
        secrets=ReceiverSecrets(
            whatsapp_app=SecretStr(APP_SECRET),
            report=SecretStr("whsec_" + base64.b64encode(REPORT_KEY).decode()),
            unsubscribe=SecretStr(UNSUBSCRIBE_KEY),
        ),
        health=Health(registry=CollectorRegistry()),
    )
    async with TestClient(TestServer(receiver.application())) as opened:
        yield opened


def link(contact_id: str = "c", message_id: str = NOBODY) -> str:
    return f"/unsubscribe/{token_of(message_id, contact_id, key=UNSUBSCRIBE_KEY.encode())}"


def signed(body: bytes, *, post_id: str = "post-1", age: int = 0, key: bytes = REPORT_KEY) -> dict[str, str]:
    seconds = str(int(utc_now().timestamp()) - age)
    signature = hmac.digest(key, f"{post_id}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": post_id,
        "webhook-timestamp": seconds,
        "webhook-signature": "v1,bm90IHRoaXMgb25l v1," + base64.b64encode(signature).decode(),
    }


async def report(client: Client, kind: str, *, post_id: str = "post-1", **data: Any) -> tuple[int, Any]:
    body = orjson.dumps({"type": kind, "data": data})
    answer = await client.post("/reports", data=body, headers=signed(body, post_id=post_id))
    return answer.status, await answer.json()


async def bounce(client: Client, message_id: str, action: str = "failed") -> tuple[int, Any]:
    body = (
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nAction: {action}\nStatus: 5.1.1\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <{message_id}@example.org>\n\n--b--\n"
    ).encode()
    answer = await client.post("/bounces", data=body, headers={"Content-Type": "message/rfc822", **signed(body)})
    return answer.status, await answer.json()


async def whatsapp(client: Client, **value: Any) -> int:
    body = orjson.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]})
    signature = "sha256=" + hmac.digest(APP_SECRET.encode(), body, hashlib.sha256).hex()
    return (await client.post("/whatsapp", data=body, headers={"X-Hub-Signature-256": signature})).status


async def set_up(world: World, *contacts: str, **person: Any) -> None:
    await world.sequence()
    await world.contacts(*contacts, **person)
    await world.enroll(*contacts)


async def sent_message(world: World, sent: Any, **more: Any) -> str:
    """The id of a message that was sent."""
    await set_up(world, "c")
    (row,) = await world.claim()
    made = sent(row, "again", **more)
    await world.book(made)
    await world.said()
    return str(made.message_id)


async def unknown_message(world: World, booking: Any, wait: timedelta = timedelta(minutes=10)) -> str:
    """The id of a message whose answer was lost."""
    await set_up(world, "c")
    (row,) = await world.claim()
    made = booking(row, "unknown", retry_after=wait)
    await world.book(made)
    await world.said()
    return str(made.message_id)


async def tried_message(world: World, booking: Any, **more: Any) -> tuple[str, str]:
    """The ids of a message that is to be sent again in an hour, and of its enrollment."""
    await set_up(world, "c")
    (row,) = await world.claim()
    made = booking(row, "retry", retry_after=timedelta(hours=1), **more)
    await world.book(made)
    await world.said()
    return str(made.message_id), row.enrollment_id
