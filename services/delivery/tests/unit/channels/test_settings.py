"""Which channels there are, and that they keep their secrets."""

import json
from pathlib import Path
from typing import Any

import pytest
from chassis.settings import SettingsFault, load
from delivery.channels.base import Outcome, Outgoing, SendStopped, WebhookContent
from delivery.channels.registry import build, rates, rooms
from delivery.channels.settings import ChannelSettings

ALL = {
    "SLUICE_EMAIL_HOST": "mail.example",
    "SLUICE_EMAIL_FROM": "us@example.org",
    "SLUICE_EMAIL_USERNAME": "us",
    "SLUICE_EMAIL_PASSWORD": "pass-geheim",
    "SLUICE_WHATSAPP_PHONE_NUMBER_ID": "1057",
    "SLUICE_WHATSAPP_TOKEN": "token-geheim",
    "SLUICE_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}


def test_a_channel_is_there_where_its_credentials_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build(load(ChannelSettings)) == {}

    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    settings = load(ChannelSettings)

    assert set(build(settings)) == {"email", "webhook", "whatsapp"}
    assert rooms(settings) == {"email": 16, "webhook": 64, "whatsapp": 32}


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)

    shown = repr(load(ChannelSettings)) + str(load(ChannelSettings))

    assert "geheim" not in shown
    assert "MfKQ9" not in shown


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token-geheim\n")
    monkeypatch.setenv("SLUICE_WHATSAPP_PHONE_NUMBER_ID", "1057")
    monkeypatch.setenv("SLUICE_WHATSAPP_TOKEN_FILE", str(tmp_path / "token"))

    token = load(ChannelSettings).whatsapp_token

    assert token is not None
    assert token.get_secret_value() == "token-geheim"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_WEBHOOK_SECRET", "geheim"),
        ("SLUICE_WEBHOOK_SECRET", "whsec_geh"),
        ("SLUICE_EMAIL_FROM", "geheim"),
        ("SLUICE_EMAIL_HOST", "mail.geheim"),
        ("SLUICE_EMAIL_PASSWORD", "geheim"),
        ("SLUICE_WHATSAPP_TOKEN", "geheim"),
        ("SLUICE_SEND_SECONDS_MAX", "0"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsFault) as fault:
        load(ChannelSettings)

    assert "geheim" not in str(fault.value)


SENDERS = {
    "promo": {"channel": "email", "host": "mail.promo.example", "from": "promo@example.org", "connections_max": 4},
    "second": {"channel": "whatsapp", "phone_number_id": "2", "token": "token-geheim"},
}


def test_a_named_sender_has_its_own_credentials_and_never_those_of_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_SENDERS", json.dumps(SENDERS))
    monkeypatch.setenv("SLUICE_WHATSAPP_BASE_URL", "https://graph.example/v1")

    settings = load(ChannelSettings)
    promo, second = settings.account("promo"), settings.account("second")

    assert set(build(settings)) == {"email", "webhook", "whatsapp", "email:promo", "whatsapp:second"}
    assert rooms(settings)["email:promo"] == 4
    assert (promo.email_host, promo.email_username, promo.email_password) == ("mail.promo.example", None, None)
    assert (second.whatsapp_phone_number_id, second.whatsapp_base_url) == ("2", "https://graph.example/v1")
    assert "geheim" not in repr(settings) + str(settings.senders) + repr(second)


def test_senders_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "senders.json").write_text(json.dumps(SENDERS))
    monkeypatch.setenv("SLUICE_SENDERS_FILE", str(tmp_path / "senders.json"))

    assert set(build(load(ChannelSettings))) == {"email:promo", "whatsapp:second"}


def test_a_rate_is_of_each_sender_of_a_channel_or_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_SENDERS", json.dumps(SENDERS))
    monkeypatch.setenv("SLUICE_RATES", '{"email": 50, "whatsapp:second": 0.5}')

    found = rates(load(ChannelSettings))

    assert {name: rate.per_second for name, rate in found.items()} == {
        "email": 50,
        "email:promo": 50,
        "whatsapp:second": 0.5,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_SENDERS", "geheim"),
        ("SLUICE_SENDERS", '{"a": {"channel": "geheim"}}'),
        ("SLUICE_SENDERS", '{"a": {"channel": "whatsapp", "token": "geheim"}}'),
        ("SLUICE_SENDERS", '{"a": {"channel": "webhook", "secret": "geheim"}}'),
        ("SLUICE_SENDERS", '{"a": {"channel": "email", "host": "h", "from": "a@b", "tokn": "geheim"}}'),
        ("SLUICE_SENDERS", '{"a geheim": {"channel": "email", "host": "h", "from": "a@b"}}'),
        ("SLUICE_RATES", '{"geheim": 1}'),
        ("SLUICE_RATES", '{"email": 0}'),
        ("SLUICE_RATES", '{"email": 1e9}'),
    ],
)
def test_a_sender_or_rate_that_is_wrong_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsFault) as fault:
        load(ChannelSettings)

    assert "geheim" not in str(fault.value).lower()
    assert name.removeprefix("SLUICE_").lower() in str(fault.value).lower()


@pytest.mark.parametrize("name", ["email", "webhook", "whatsapp"])
async def test_null_channels_take_everything_and_still_ask_first(gate: Any, name: str) -> None:
    null = build(ChannelSettings(null_channels=True))[name]
    message = Outgoing("m-1", name, None, None, WebhookContent(url="http://x.example/", body=b"{}"))

    result = await null.send(message, before_first_byte=gate)
    gate.stop = True

    assert (result.outcome, gate.asked) == (Outcome.SENT, 1)
    with pytest.raises(SendStopped):
        await null.send(message, before_first_byte=gate)
