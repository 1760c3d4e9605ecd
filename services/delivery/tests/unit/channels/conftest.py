"""A real sink for every test, and channels that speak to it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from delivery.channels.base import Channel, SendStopped
from delivery.channels.registry import build
from delivery.channels.settings import ChannelSettings
from devstack.sink import Sink, SinkSettings
from devstack.sink.behaviour import parse_behaviour
from devstack.sink.server import running

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Gate:
    """The check before the first byte: counts, and stops when told."""

    def __init__(self) -> None:
        self.asked = 0
        self.stop = False

    def __call__(self) -> None:
        self.asked += 1
        if self.stop:
            raise SendStopped


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    async with running(SinkSettings(file=tmp_path / "arrivals.jsonl", keep_bodies=True)) as sink:
        yield sink


@pytest.fixture
def arrivals(sink: Sink) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in sink.book.path.read_text().splitlines()]


@pytest.fixture
def behave(sink: Sink) -> Iterator[Callable[..., None]]:
    yield lambda **rule: sink.behaviours.add(parse_behaviour(rule))
    sink.behaviours.clear()


@pytest.fixture
def channel(sink: Sink) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """An open channel by name, with settings of one's own."""

    @asynccontextmanager
    async def opened(name: str, **changed: Any) -> AsyncIterator[Channel]:
        settings: dict[str, Any] = {
            "send_seconds_max": 5.0,
            "email_host": "127.0.0.1",
            "email_port": sink.smtp_port,
            "email_from": "Sluice <us@sluice.example>",
            "email_tls": "none",
            "whatsapp_base_url": sink.url,
            "whatsapp_phone_number_id": "1057",
            "whatsapp_token": "token",
            "webhook_secret": SECRET,
            "webhook_allow_private_networks": True,
        }
        found = build(ChannelSettings(**{**settings, **changed}))[name]
        await found.open()
        try:
            yield found
        finally:
            await found.close()

    return opened
