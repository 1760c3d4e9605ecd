"""Webhooks: a signed POST of JSON, after Standard Webhooks (https://www.standardwebhooks.com)."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar
from aiohttp.abc import AbstractResolver
from chassis.clock import utc_now

from delivery.channels.base import Outgoing, Result, WebhookContent, unknown_sender
from delivery.channels.guard import connector
from delivery.channels.http import Answer, GatedBody, post
from delivery.channels.settings import Credentials, webhook_key

READ_SECONDS_MAX: Final = 1.0
"""For the body of the answer, which is not looked at: read only to keep the connection."""
_LATER: Final = frozenset({408, 425, 429})


class WebhookChannel:
    """Goes to the address in the definition, never to one of our own networks, and follows no redirect."""

    name = "webhook"
    idempotent = True

    def __init__(
        self, settings: Credentials, *, resolver: AbstractResolver | None = None, sender: str | None = None
    ) -> None:
        if settings.webhook_secret is None:
            raise ValueError("no webhook secret is set")
        self._key = webhook_key(settings.webhook_secret)
        self.sender = sender
        self._settings = settings
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def open(self) -> None:
        """Get ready."""
        self._session = ClientSession(
            connector=connector(
                allow_private=self._settings.webhook_allow_private_networks,
                connections_max=self._settings.webhook_connections_max,
                resolver=self._resolver,
            ),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=self._settings.send_seconds_max / 2),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "Sluice", "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # aiohttp closes its transports in the next turn of the loop

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """POST once; the message's id is `webhook-id`."""
        assert self._session is not None, "not open"
        assert isinstance(message.content, WebhookContent)
        if (unknown := unknown_sender(message, self.sender)) is not None:
            return unknown
        body = GatedBody(message.content.body, before_first_byte)
        answer = await post(
            self._session,
            message.content.url,
            body,
            headers=self._signed(message.message_id, message.content.body),
            seconds_max=self._settings.send_seconds_max,
            read_seconds_max=READ_SECONDS_MAX,
        )
        return answer if isinstance(answer, Result) else _judge(answer)

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(utc_now().timestamp()))
        signature = hmac.digest(self._key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": "v1," + base64.b64encode(signature).decode(),
        }


def _judge(answer: Answer) -> Result:
    status = answer.status
    if 200 <= status < 300:
        return Result.sent()
    code, detail = f"http_{status}", f"the receiver answered {status}"
    if status >= 500 or status in _LATER:
        return Result.retry(code, detail, after_seconds=answer.retry_after_seconds)
    if 300 <= status < 400:
        return Result.refused(code, "the receiver redirects, which is not followed")
    return Result.refused(code, detail)
