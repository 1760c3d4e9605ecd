"""`GET /whatsapp` answers Meta's question whether this address is ours; `POST /whatsapp` takes what it reports."""

import hashlib
import hmac
from typing import Final

import orjson
from aiohttp import web
from pydantic import SecretStr

from delivery.domain.report_whatsapp import CHANNEL, read_whatsapp
from delivery.loops.receiver.taking import Away, Taking, away

PATH: Final = "/whatsapp"


class WhatsApp:
    """Statuses, replies and marketing preferences of the WhatsApp Cloud API."""

    def __init__(self, taking: Taking, *, app_secret: SecretStr | None, verify_token: SecretStr | None) -> None:
        self._taking = taking
        self._app_secret = app_secret
        self._verify_token = verify_token

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [web.get(PATH, self._verify), web.post(PATH, self._take)]

    async def _verify(self, request: web.Request) -> web.Response:
        token = request.query.get("hub.verify_token", "").encode(errors="surrogateescape")
        expected = self._verify_token
        if expected is None or not hmac.compare_digest(token, expected.get_secret_value().encode()):
            return web.Response(status=403)
        return web.Response(text=request.query.get("hub.challenge", ""))

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._is_signed(body, request.headers.get("X-Hub-Signature-256", "")):
            return web.Response(status=401)
        try:
            post = read_whatsapp(orjson.loads(body))
        except orjson.JSONDecodeError:
            return web.Response(status=400)
        try:
            await self._taking.take(post, provider=CHANNEL)
        except Away:
            return away()
        return web.Response()

    def _is_signed(self, body: bytes, signature: str) -> bool:
        """`X-Hub-Signature-256: sha256=<HMAC of the body with the app's secret>`."""
        if self._app_secret is None:
            return False
        expected = hmac.digest(self._app_secret.get_secret_value().encode(), body, hashlib.sha256).hex()
        return hmac.compare_digest(f"sha256={expected}".encode(), signature.encode(errors="surrogateescape"))
