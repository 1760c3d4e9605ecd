"""WhatsApp, sent to what plays the Cloud API."""

import json
import re
from typing import Any

import pytest
from delivery.channels.base import Outcome, Outgoing, SendStopped, WhatsAppContent
from delivery.channels.whatsapp_codes import verdict

WELCOME = WhatsAppContent("welcome_1", "en", (("2", "trial"), ("1", "Ada")))


def text(to: str | None = "+49 151 12345", content: WhatsAppContent = WELCOME) -> Outgoing:
    return Outgoing(message_id="m-1", channel="whatsapp", sender=None, to=to, content=content)


async def test_a_template_message_arrives_and_gets_the_providers_id(channel: Any, gate: Any, arrivals: Any) -> None:
    async with channel("whatsapp") as whatsapp:
        result = await whatsapp.send(text(), before_first_byte=gate)

    (arrival,) = arrivals()
    assert result.outcome is Outcome.SENT
    assert re.fullmatch(r"[0-9a-f-]{36}", result.provider_message_id)  # the provider's own holds the number
    assert gate.asked == 1
    assert json.loads(arrival["body"]) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "4915112345",
        "type": "template",
        "template": {
            "name": "welcome_1",
            "language": {"code": "en"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Ada"}, {"type": "text", "text": "trial"}]}
            ],
        },
        "biz_opaque_callback_data": "m-1",
    }


async def test_variables_with_names_go_by_name(channel: Any, gate: Any, arrivals: Any) -> None:
    content = WhatsAppContent("welcome_1", "en", (("first_name", "Ada"),))
    async with channel("whatsapp") as whatsapp:
        await whatsapp.send(text(content=content), before_first_byte=gate)

    (component,) = json.loads(arrivals()[0]["body"])["template"]["components"]
    assert component["parameters"] == [{"type": "text", "parameter_name": "first_name", "text": "Ada"}]


@pytest.mark.parametrize(
    ("code", "outcome", "after"),
    [
        (130429, Outcome.RETRY, None),
        (131048, Outcome.RETRY, 3_600.0),
        (131056, Outcome.RETRY, 6.0),
        (80007, Outcome.RETRY, 60.0),
        (131049, Outcome.RETRY, 86_400.0),
        (190, Outcome.RETRY, 60.0),
        (131047, Outcome.REFUSED, None),
        (131026, Outcome.REFUSED, None),
        (131051, Outcome.REFUSED, None),
        (131030, Outcome.REFUSED, None),
        (132001, Outcome.REFUSED, None),
        (132999, Outcome.REFUSED, None),
        (100, Outcome.REFUSED, None),
        (987654, Outcome.REFUSED, None),
    ],
)
async def test_an_error_is_judged_by_its_code(
    channel: Any, gate: Any, behave: Any, code: int, outcome: Outcome, after: float | None
) -> None:
    behave(channel="whatsapp", mode="refuse", code=code)

    async with channel("whatsapp") as whatsapp:
        result = await whatsapp.send(text(), before_first_byte=gate)

    assert (result.outcome, result.code) == (outcome, f"whatsapp_{code}")
    assert result.retry_after_seconds == after


@pytest.mark.parametrize(
    ("rule", "outcome", "code"),
    [
        ({"mode": "status", "status": 429, "retry_after": 3}, Outcome.RETRY, "http_429"),
        ({"mode": "status", "status": 503}, Outcome.RETRY, "http_503"),
        ({"mode": "status", "status": 502}, Outcome.UNKNOWN, "http_502"),
        ({"mode": "status", "status": 404}, Outcome.REFUSED, "http_404"),
        ({"mode": "reset"}, Outcome.UNKNOWN, "connection_lost"),
        ({"mode": "accept_and_drop_answer"}, Outcome.UNKNOWN, "connection_lost"),
        ({"mode": "hang"}, Outcome.UNKNOWN, "timeout"),
    ],
)
async def test_without_a_code_it_goes_by_what_came(
    channel: Any, gate: Any, behave: Any, rule: dict[str, Any], outcome: Outcome, code: str
) -> None:
    behave(channel="whatsapp", **rule)

    async with channel("whatsapp", send_seconds_max=0.5) as whatsapp:
        result = await whatsapp.send(text(), before_first_byte=gate)

    assert (result.outcome, result.code) == (outcome, code)


async def test_the_longer_of_two_waits_counts(channel: Any, gate: Any, behave: Any) -> None:
    behave(channel="whatsapp", mode="refuse", code=131056, retry_after=30)

    async with channel("whatsapp") as whatsapp:
        result = await whatsapp.send(text(), before_first_byte=gate)

    assert result.retry_after_seconds == 30.0


def test_an_error_of_the_server_that_nobody_knows_is_tried_again() -> None:
    assert verdict(987654, status=500).outcome is Outcome.RETRY


@pytest.mark.parametrize("to", [None, "", "abc", "12", "+49\r\nX", "4915112345, 4915112346"])
async def test_what_is_no_number_is_refused_before_anybody_is_asked(
    channel: Any, gate: Any, arrivals: Any, to: str | None
) -> None:
    async with channel("whatsapp") as whatsapp:
        result = await whatsapp.send(text(to=to), before_first_byte=gate)

    assert (result.outcome, result.code, gate.asked) == (Outcome.REFUSED, "address_invalid", 0)
    assert arrivals() == []


async def test_a_stop_lets_nothing_out(channel: Any, gate: Any, arrivals: Any) -> None:
    gate.stop = True

    async with channel("whatsapp") as whatsapp:
        with pytest.raises(SendStopped):
            await whatsapp.send(text(), before_first_byte=gate)
        gate.stop = False
        result = await whatsapp.send(text(), before_first_byte=gate)

    assert result.outcome is Outcome.SENT
    assert len(arrivals()) == 1
