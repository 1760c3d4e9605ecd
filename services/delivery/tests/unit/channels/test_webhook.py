"""Webhooks, sent to a real receiver."""

import asyncio
import base64
import hashlib
import hmac
import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from chassis.clock import monotonic, utc_now
from delivery.channels.base import Outcome, Outgoing, SendStopped, WebhookContent
from delivery.channels.guard import is_public
from delivery.channels.http import retry_after
from delivery.channels.settings import ChannelSettings
from delivery.channels.webhook import WebhookChannel

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"contact":"c-1"}'


def hook(url: str, key: str = "m-1") -> Outgoing:
    return Outgoing(message_id=key, channel="webhook", sender=None, to=None, content=WebhookContent(url=url, body=BODY))


class Names(AbstractResolver):
    """Every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_webhook_arrives_once_with_its_key(channel: Any, gate: Any, sink: Any, arrivals: Any) -> None:
    async with channel("webhook") as webhook:
        results = [await webhook.send(hook(f"{sink.url}/webhook/crm"), before_first_byte=gate) for _ in range(2)]

    assert [result.outcome for result in results] == [Outcome.SENT, Outcome.SENT]
    assert [(line["message_id"], line["outcome"]) for line in arrivals()] == [("m-1", "accepted"), ("m-1", "repeated")]
    assert arrivals()[0]["body"] == BODY.decode()


async def test_the_signature_holds_over_what_was_received(channel: Any, gate: Any) -> None:
    seen: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        seen.append((dict(request.headers), await request.read()))
        return web.Response()

    async with served(receive) as url, channel("webhook") as webhook:
        await webhook.send(hook(url), before_first_byte=gate)

    headers, body = seen[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert abs(int(headers["webhook-timestamp"]) - utc_now().timestamp()) < 5
    assert headers["Content-Type"] == "application/json"


def served(handler: Any) -> Any:
    @asynccontextmanager
    async def serve() -> Any:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()

    return serve()


@pytest.mark.parametrize(
    ("rule", "outcome", "code", "after"),
    [
        ({"mode": "status", "status": 429, "retry_after": 7}, Outcome.RETRY, "http_429", 7.0),
        ({"mode": "status", "status": 503, "retry_after": 999_999}, Outcome.RETRY, "http_503", 86_400.0),
        ({"mode": "status", "status": 503, "retry_after": "soon"}, Outcome.RETRY, "http_503", None),
        ({"mode": "status", "status": 500}, Outcome.RETRY, "http_500", None),
        ({"mode": "status", "status": 408}, Outcome.RETRY, "http_408", None),
        ({"mode": "status", "status": 425}, Outcome.RETRY, "http_425", None),
        ({"mode": "status", "status": 400}, Outcome.REFUSED, "http_400", None),
        ({"mode": "status", "status": 404}, Outcome.REFUSED, "http_404", None),
        ({"mode": "refuse"}, Outcome.REFUSED, "http_410", None),
        ({"mode": "status", "status": 302}, Outcome.REFUSED, "http_302", None),
        ({"mode": "reset"}, Outcome.UNKNOWN, "connection_lost", None),
        ({"mode": "accept_and_drop_answer"}, Outcome.UNKNOWN, "connection_lost", None),
    ],
)
async def test_what_an_answer_means(
    channel: Any, gate: Any, sink: Any, behave: Any, rule: dict[str, Any], outcome: Outcome, code: str, after: Any
) -> None:
    behave(channel="webhook", **rule)

    async with channel("webhook") as webhook:
        result = await webhook.send(hook(f"{sink.url}/webhook/crm"), before_first_byte=gate)

    assert (result.outcome, result.code, result.retry_after_seconds) == (outcome, code, after)


async def test_a_receiver_that_hangs_holds_a_send_no_longer_than_allowed(
    channel: Any, gate: Any, sink: Any, behave: Any
) -> None:
    behave(channel="webhook", mode="hang")
    began = monotonic()

    async with channel("webhook", send_seconds_max=0.3) as webhook:
        result = await webhook.send(hook(f"{sink.url}/webhook/crm"), before_first_byte=gate)

    assert (result.outcome, result.code) == (Outcome.UNKNOWN, "timeout")
    assert monotonic() - began < 3


async def test_a_redirect_is_not_followed(channel: Any, gate: Any, sink: Any, arrivals: Any) -> None:
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{sink.url}/webhook/inside"})

    async with served(redirect) as url, channel("webhook") as webhook:
        result = await webhook.send(hook(url), before_first_byte=gate)

    assert (result.outcome, result.code) == (Outcome.REFUSED, "http_307")
    assert arrivals() == []


@pytest.mark.parametrize("kind", ["endless", "slow"])
async def test_an_answers_body_changes_nothing_and_is_not_waited_for(channel: Any, gate: Any, kind: str) -> None:
    async def go_on(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(10_000):
                await response.write(b"x" * (16_384 if kind == "endless" else 1))
                await asyncio.sleep(0 if kind == "endless" else 0.2)
        except ConnectionError:
            pass
        return response

    began = monotonic()
    async with served(go_on) as url, channel("webhook") as webhook:
        result = await webhook.send(hook(url), before_first_byte=gate)

    assert result.outcome is Outcome.SENT
    assert monotonic() - began < 4


async def test_an_answer_that_is_no_http_leaves_it_unknown(channel: Any, gate: Any) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(b"250 ok, but this is no HTTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server, channel("webhook") as webhook:
        port = server.sockets[0].getsockname()[1]
        result = await webhook.send(hook(f"http://127.0.0.1:{port}/"), before_first_byte=gate)

    assert result.outcome is Outcome.UNKNOWN


async def test_a_stop_lets_not_one_byte_out(channel: Any, gate: Any) -> None:
    received = bytearray()
    connected = asyncio.Event()
    gone = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        received.extend(await reader.read())
        writer.close()
        gone.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    gate.stop = True
    async with server, channel("webhook") as webhook:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SendStopped):
            await webhook.send(hook(f"http://127.0.0.1:{port}/"), before_first_byte=gate)
        await asyncio.wait_for(gone.wait(), 5)

    assert connected.is_set()
    assert bytes(received) == b""
    assert gate.asked == 1


async def test_the_check_comes_when_the_connection_is_there(channel: Any, gate: Any, sink: Any) -> None:
    order: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order.append("connected")
        await reader.readuntil(BODY)
        order.append("received")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server, channel("webhook") as webhook:
        port = server.sockets[0].getsockname()[1]

        def check() -> None:
            order.append("checked")

        result = await webhook.send(hook(f"http://127.0.0.1:{port}/"), before_first_byte=check)

    assert result.outcome is Outcome.SENT
    assert sorted(order[:2]) == ["checked", "connected"]
    assert order[2] == "received"


async def test_a_receiver_that_is_not_there_is_tried_again(channel: Any, gate: Any) -> None:
    async with channel("webhook") as webhook:
        nobody = await webhook.send(hook("http://127.0.0.1:1/"), before_first_byte=gate)
        no_name = await webhook.send(hook("http://nothing.invalid/"), before_first_byte=gate)

    assert (nobody.outcome, nobody.code) == (Outcome.RETRY, "connect")
    assert (no_name.outcome, no_name.code) == (Outcome.RETRY, "dns")
    assert gate.asked == 0


async def test_a_receiver_that_speaks_no_tls_is_tried_again(channel: Any, gate: Any, sink: Any, arrivals: Any) -> None:
    async with channel("webhook") as webhook:
        url = sink.url.replace("http://", "https://") + "/webhook/crm"
        result = await webhook.send(hook(url), before_first_byte=gate)

    assert (result.outcome, gate.asked) == (Outcome.RETRY, 0)
    assert arrivals() == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "0.0.0.0",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "100.100.100.200",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
    ],
)
async def test_nothing_goes_to_networks_of_our_own(
    channel: Any, gate: Any, sink: Any, arrivals: Any, host: str
) -> None:
    async with channel("webhook", webhook_allow_private_networks=False) as webhook:
        result = await webhook.send(hook(f"http://{host}:{sink.http_port}/webhook/crm"), before_first_byte=gate)

    assert result.outcome in (Outcome.REFUSED, Outcome.RETRY)
    assert result.outcome is Outcome.REFUSED or result.code == "dns"
    assert gate.asked == 0
    assert arrivals() == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "10.0.0.1"])
async def test_a_name_that_leads_into_our_own_networks_is_refused(gate: Any, sink: Any, address: str) -> None:
    webhook = WebhookChannel(ChannelSettings(webhook_secret=SECRET), resolver=Names(address))
    await webhook.open()
    try:
        result = await webhook.send(hook(f"http://crm.example:{sink.http_port}/"), before_first_byte=gate)
    finally:
        await webhook.close()

    assert (result.outcome, result.code) == (Outcome.REFUSED, "address_refused")
    assert gate.asked == 0


async def test_of_several_addresses_only_the_public_ones_are_tried(gate: Any, sink: Any, arrivals: Any) -> None:
    settings = ChannelSettings(webhook_secret=SECRET, send_seconds_max=0.5)
    webhook = WebhookChannel(settings, resolver=Names("127.0.0.1", "192.0.2.1", "1.1.1.1"))
    tried: list[str] = []
    await webhook.open()
    try:
        assert webhook._session is not None
        connector: Any = webhook._session.connector
        guarded = connector._socket_factory

        def watch(addr_info: Any) -> socket.socket:
            tried.append(addr_info[4][0])
            guarded(addr_info).close()
            raise OSError("no network in this test")

        connector._socket_factory = watch
        result = await webhook.send(hook(f"http://crm.example:{sink.http_port}/"), before_first_byte=gate)
    finally:
        await webhook.close()

    assert result.outcome is Outcome.RETRY
    assert tried == ["1.1.1.1"]
    assert arrivals() == []


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["168.63.129.16", "::127.0.0.1", "fe80::1%eth0", "ff02::1", "nonsense", ""])
def test_other_addresses_are_not(address: str) -> None:
    assert not is_public(address)


def test_retry_after_may_be_a_date() -> None:
    in_an_hour = format_datetime(utc_now() + timedelta(hours=1), usegmt=True)
    yesterday = format_datetime(utc_now() - timedelta(days=1), usegmt=True)

    assert retry_after(in_an_hour) == pytest.approx(3_600, abs=5)
    assert retry_after(yesterday) == 0
    assert retry_after("-5") is None
    assert retry_after("9" * 400) in (None, 86_400.0)
    assert retry_after(None) is None


async def test_a_sender_that_the_settings_do_not_know_is_waited_for(channel: Any, gate: Any, sink: Any) -> None:
    message = Outgoing("m-1", "webhook", "other", None, WebhookContent(url=f"{sink.url}/webhook/x", body=BODY))
    async with channel("webhook") as webhook:
        result = await webhook.send(message, before_first_byte=gate)

    assert (result.outcome, result.code, gate.asked) == (Outcome.RETRY, "sender_unknown", 0)
