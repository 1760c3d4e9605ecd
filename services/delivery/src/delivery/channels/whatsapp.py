"""WhatsApp: template messages through the Cloud API."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from delivery.channels.base import Outcome, Outgoing, Result, WhatsAppContent, unknown_sender
from delivery.channels.http import Answer, GatedBody, post
from delivery.channels.settings import Credentials
from delivery.channels.whatsapp_codes import verdict
from delivery.domain.report import opaque

_NUMBER: Final = re.compile(r"\+?[0-9]{5,20}")
_PUNCTUATION: Final = re.compile(r"[ ().-]")


class WhatsAppChannel:
    """The provider has no idempotency key: what may have arrived is not sent again."""

    name = "whatsapp"
    idempotent = False

    def __init__(self, settings: Credentials, *, sender: str | None = None) -> None:
        if settings.whatsapp_token is None:
            raise ValueError("no WhatsApp token is set")
        self.sender = sender
        self._settings = settings
        self._authorization = f"Bearer {settings.whatsapp_token.get_secret_value()}"
        base = settings.whatsapp_base_url.rstrip("/")
        self._url = f"{base}/{settings.whatsapp_phone_number_id}/messages"
        self._session: ClientSession | None = None

    async def open(self) -> None:
        """Get ready."""
        self._session = ClientSession(
            connector=TCPConnector(limit=self._settings.whatsapp_connections_max, keepalive_timeout=10.0),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=self._settings.send_seconds_max / 2),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "Sluice", "Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # aiohttp closes its transports in the next turn of the loop

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """Send once; the message's id comes back in the provider's reports, as `biz_opaque_callback_data`."""
        assert self._session is not None, "not open"
        assert isinstance(message.content, WhatsAppContent)
        if (unknown := unknown_sender(message, self.sender)) is not None:
            return unknown
        number = _PUNCTUATION.sub("", message.to or "")
        if not _NUMBER.fullmatch(number):
            return Result.refused("address_invalid", "the contact has no valid number")
        body = orjson.dumps(_call(message.message_id, number.lstrip("+"), message.content))
        answer = await post(
            self._session,
            self._url,
            GatedBody(body, before_first_byte),
            headers={"Authorization": self._authorization},
            seconds_max=self._settings.send_seconds_max,
        )
        return answer if isinstance(answer, Result) else _judge(answer)


def _call(message_id: str, number: str, content: WhatsAppContent) -> dict[str, Any]:
    template: dict[str, Any] = {"name": content.template, "language": {"code": content.language}}
    if content.variables:
        template["components"] = [{"type": "body", "parameters": _parameters(content.variables)}]
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": number,
        "type": "template",
        "template": template,
        "biz_opaque_callback_data": message_id,
    }


def _parameters(variables: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    """Variables that are all numbered go by position, all others by name."""
    if all(name.isdecimal() for name, _ in variables):
        return [{"type": "text", "text": value} for _, value in sorted(variables, key=lambda pair: int(pair[0]))]
    return [{"type": "text", "parameter_name": name, "text": value} for name, value in variables]


def _judge(answer: Answer) -> Result:
    fields = _fields(answer.body)
    if 200 <= answer.status < 300:
        provider_message_id = _message_id(fields)
        if provider_message_id is None:
            return Result.unknown("answer_invalid", "taken, but the answer names no message")
        return Result.sent(opaque(provider_message_id))
    error = fields.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and not isinstance(code, bool):
        found = verdict(code, status=answer.status)
        return Result(
            found.outcome,
            f"whatsapp_{code}",
            found.detail,
            retry_after_seconds=_latest(answer.retry_after_seconds, found.retry_after_seconds)
            if found.outcome is Outcome.RETRY
            else None,
        )
    return _judge_without_code(answer)


def _judge_without_code(answer: Answer) -> Result:
    """No error of the API's own: something before it answered, which may have passed the call on."""
    code, detail = f"http_{answer.status}", f"the provider answered {answer.status} and no code"
    if answer.status in (408, 425, 429, 503):
        return Result.retry(code, detail, after_seconds=answer.retry_after_seconds)
    if answer.status >= 500:
        return Result.unknown(code, detail)
    return Result.refused(code, detail)


def _latest(*seconds: float | None) -> float | None:
    return max((asked for asked in seconds if asked is not None), default=None)


def _fields(body: bytes | None) -> dict[str, Any]:
    try:
        value = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _message_id(fields: dict[str, Any]) -> str | None:
    match fields:
        case {"messages": [{"id": str(message_id)}, *_]} if 0 < len(message_id) <= 256:
            return message_id
        case _:
            return None
