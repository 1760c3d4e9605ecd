"""Which channels there are, whose accounts they send by, and how fast."""

from collections.abc import Callable
from typing import Final

from delivery.channels.base import Channel
from delivery.channels.email import EmailChannel
from delivery.channels.null import NullChannel
from delivery.channels.settings import ChannelSettings, Credentials
from delivery.channels.webhook import WebhookChannel
from delivery.channels.whatsapp import WhatsAppChannel
from delivery.domain.rate import Rate

_CHANNELS: Final[dict[str, Callable[..., Channel]]] = {
    "email": EmailChannel,
    "webhook": WebhookChannel,
    "whatsapp": WhatsAppChannel,
}
NULL_ROOM = 1_000  # two claims of the largest size: while one is sent the next is made


def build(settings: ChannelSettings) -> dict[str, Channel]:
    """Every channel that has its credentials, by name, and every named sender as `channel:sender`.

    What waits for another channel or sender goes on waiting.
    """
    named = {f"{sender.channel}:{name}": (name, sender.channel) for name, sender in settings.senders.items()}
    if settings.null_channels:
        null = {name: NullChannel(name, idempotent=name == "webhook") for name in _CHANNELS}
        return {**null, **{lane: null[channel] for lane, (_, channel) in named.items()}}
    channels: dict[str, Channel] = {}
    if settings.email_host is not None:
        channels["email"] = EmailChannel(settings)
    if settings.webhook_secret is not None:
        channels["webhook"] = WebhookChannel(settings)
    if settings.whatsapp_token is not None:
        channels["whatsapp"] = WhatsAppChannel(settings)
    for lane, (name, channel) in named.items():
        channels[lane] = _CHANNELS[channel](settings.account(name), sender=name)
    return channels


def rooms(settings: ChannelSettings) -> dict[str, int]:
    """How many messages each channel and each named sender sends at once."""
    if settings.null_channels:
        return dict.fromkeys((*_CHANNELS, *(f"{s.channel}:{name}" for name, s in settings.senders.items())), NULL_ROOM)
    named = {f"{s.channel}:{name}": _room(settings.account(name), s.channel) for name, s in settings.senders.items()}
    return {name: _room(settings, name) for name in _CHANNELS} | named


def rates(settings: ChannelSettings) -> dict[str, Rate]:
    """The rate of each channel and each named sender that has one; a sender's own goes before its channel's."""
    found: dict[str, Rate] = {}
    for name in rooms(settings):
        per_second = settings.rates.get(name, settings.rates.get(name.partition(":")[0]))
        if per_second is not None:
            found[name] = Rate(per_second)
    return found


def _room(account: Credentials, channel: str) -> int:
    room: int = getattr(account, f"{channel}_connections_max")
    return room
