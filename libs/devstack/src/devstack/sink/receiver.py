"""The sink over HTTP: webhooks, the WhatsApp Cloud API, and the calls by which it is told what to do."""

import asyncio
import re
import socket
import struct
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from chassis.clock import new_id

from devstack.sink.behaviour import Behaviour, BehaviourFault, Behaviours, parse_behaviour
from devstack.sink.book import Arrival, Book, arrived

HANG_SECONDS_MAX: Final = 3_600.0
ARRIVALS_MAX: Final = 10_000
_WEBHOOK: Final = "/webhook/"
_MESSAGES: Final = re.compile(r"/(?:v[0-9]+\.[0-9]+/)?([0-9A-Za-z_-]+)/messages")
_JSON: Final = "application/json"
_RESET: Final = struct.pack("ii", 1, 0)

_WHATSAPP_ERRORS: Final = {
    100: (400, "Invalid parameter"),
    190: (401, "Access token has expired"),
    80007: (400, "Rate limit issues"),
    130429: (400, "Rate limit hit"),
    131026: (400, "Message undeliverable"),
    131047: (400, "Re-engagement message"),
    131048: (400, "Spam rate limit hit"),
    131049: (400, "Meta chose not to deliver"),
    131056: (400, "Pair rate limit hit"),
    132001: (404, "Template does not exist in the translation"),
}


class Receiver:
    """Handles every request; made for `aiohttp.web.Server`, which is twice as fast as an application with routes."""

    def __init__(self, book: Book, behaviours: Behaviours) -> None:
        self._book = book
        self._behaviours = behaviours

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.path
        if path.startswith(_WEBHOOK) and request.method == "POST":
            return await self._webhook(request, path[len(_WEBHOOK) :])
        if request.method == "POST" and (found := _MESSAGES.fullmatch(path)):
            return await self._whatsapp(request, found[1])
        if path.startswith("/_sink/"):
            return await self._control(request, path[len("/_sink/") :])
        if path in ("/readyz", "/livez"):
            return _json({"ready": True})
        return _json({"error": "not found"}, status=404)

    async def _webhook(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        arrival = arrived(
            "webhook", key=request.headers.get("webhook-id"), to=name, subject=None, body=await request.read()
        )
        if self._book.repeats("webhook", arrival.key):
            await self._book.note(arrival, "repeated", status=200)
            return _json({"ok": True})
        rule = self._behaviours.decide("webhook", name)
        if rule is not None and rule.mode in ("status", "refuse"):
            status = rule.status or (410 if rule.mode == "refuse" else 500)
            return await self._fail(arrival, rule, status=status, body={"error": HTTPStatus(status).phrase})
        return await self._accept(request, arrival, rule, answer={"ok": True})

    async def _whatsapp(self, request: web.BaseRequest, phone_number_id: str) -> web.StreamResponse:
        body = await request.read()
        call = _object(body)
        template = call.get("template")
        arrival = arrived(
            "whatsapp",
            key=_text(call.get("biz_opaque_callback_data")),
            to=_text(call.get("to")),
            subject=_text(template.get("name")) if isinstance(template, dict) else None,
            body=body,
        )
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            await self._book.note(arrival, "invalid", status=401, code=190)
            return _json(_whatsapp_error(190), status=401)
        if call.get("messaging_product") != "whatsapp" or arrival.to is None or arrival.subject is None:
            await self._book.note(arrival, "invalid", status=400, code=100)
            return _json(_whatsapp_error(100), status=400)
        rule = self._behaviours.decide("whatsapp", arrival.to)
        if rule is not None and (rule.mode == "refuse" or (rule.mode == "status" and rule.code is not None)):
            code = rule.code or 131026
            status = rule.status or _WHATSAPP_ERRORS.get(code, (400, ""))[0]
            return await self._fail(arrival, rule, status=status, code=code, body=_whatsapp_error(code))
        if rule is not None and rule.mode == "status":
            return await self._fail(arrival, rule, status=rule.status or 500, body={"error": "no code"})
        number = arrival.to.lstrip("+")
        answer = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": arrival.to, "wa_id": number}],
            "messages": [{"id": f"wamid.{new_id()}", "message_status": "accepted"}],
        }
        return await self._accept(request, arrival, rule, answer=answer)

    async def _fail(
        self, arrival: Arrival, rule: Behaviour, *, status: int, body: dict[str, Any], code: int | None = None
    ) -> web.StreamResponse:
        outcome: Any = "refused" if rule.mode == "refuse" else "failed"
        await self._book.note(arrival, outcome, status=status, code=code)
        if rule.delay_seconds:
            await asyncio.sleep(rule.delay_seconds)
        response = _json(body, status=status)
        if rule.retry_after is not None:
            response.headers["Retry-After"] = rule.retry_after
        return response

    async def _accept(
        self, request: web.BaseRequest, arrival: Arrival, rule: Behaviour | None, *, answer: dict[str, Any]
    ) -> web.StreamResponse:
        match rule.mode if rule is not None else "ok":
            case "hang":
                await self._book.note(arrival, "hung")
                await asyncio.sleep((rule and rule.delay_seconds) or HANG_SECONDS_MAX)
                return _cut(request)
            case "reset":
                await self._book.note(arrival, "reset")
                return _cut(request, reset=True)
            case "accept_and_drop_answer":
                await self._book.note(arrival, "answer_dropped")
                return _cut(request)
            case _:
                await self._book.note(arrival, "accepted", status=200)
                if rule is not None:
                    await asyncio.sleep(rule.delay_seconds)
                return _json(answer)

    async def _control(self, request: web.BaseRequest, call: str) -> web.StreamResponse:
        match (request.method, call):
            case ("GET", "count"):
                return _json(self._book.counts())
            case ("GET", "arrivals"):
                return self._arrivals(request)
            case ("GET", "behaviour"):
                return _json({"behaviours": self._behaviours.told()})
            case ("DELETE", "behaviour"):
                self._behaviours.clear()
                return _json({"behaviours": []})
            case ("POST", "behaviour"):
                try:
                    self._behaviours.add(parse_behaviour(orjson.loads(await request.read())))
                except (BehaviourFault, orjson.JSONDecodeError) as fault:
                    return _json({"error": str(fault)}, status=400)
                return _json({"behaviours": self._behaviours.told()})
            case _:
                return _json({"error": "not found"}, status=404)

    def _arrivals(self, request: web.BaseRequest) -> web.Response:
        try:
            since = int(request.query.get("since_ns", "0"))
            limit = min(int(request.query.get("limit", ARRIVALS_MAX)), ARRIVALS_MAX)
        except ValueError:
            return _json({"error": "since_ns and limit are whole numbers"}, status=400)
        return _json({"arrivals": self._book.since(since, limit=limit)})


def _json(value: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type=_JSON)


def _cut(request: web.BaseRequest, *, reset: bool = False) -> web.Response:
    """End the connection without an answer; what is returned then goes nowhere."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    return web.Response()


def _whatsapp_error(code: int) -> dict[str, Any]:
    title = _WHATSAPP_ERRORS.get(code, (400, "Something went wrong"))[1]
    return {
        "error": {
            "message": f"(#{code}) {title}",
            "type": "OAuthException",
            "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": title},
            "fbtrace_id": new_id(),
        }
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
