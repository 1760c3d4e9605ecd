"""Which channels there are."""

from delivery.channels.base import Channel
from delivery.channels.email import EmailChannel
from delivery.channels.null import NullChannel
from delivery.channels.settings import ChannelSettings
from delivery.channels.webhook import WebhookChannel
from delivery.channels.whatsapp import WhatsAppChannel

NULL_ROOM = 1_000  # two claims of the largest size: while one is sent the next is made


def build(settings: ChannelSettings) -> dict[str, Channel]:
    """Every channel that has its credentials, by name. What waits for another channel goes on waiting."""
    if settings.null_channels:
        return {
            "email": NullChannel("email", idempotent=False),
            "webhook": NullChannel("webhook", idempotent=True),
            "whatsapp": NullChannel("whatsapp", idempotent=False),
        }
    channels: dict[str, Channel] = {}
    if settings.email_host is not None:
        channels["email"] = EmailChannel(settings)
    if settings.webhook_secret is not None:
        channels["webhook"] = WebhookChannel(settings)
    if settings.whatsapp_token is not None:
        channels["whatsapp"] = WhatsAppChannel(settings)
    return channels


def rooms(settings: ChannelSettings) -> dict[str, int]:
    """How many messages each channel sends at once."""
    if settings.null_channels:
        return dict.fromkeys(("email", "webhook", "whatsapp"), NULL_ROOM)
    return {
        "email": settings.email_connections_max,
        "webhook": settings.webhook_connections_max,
        "whatsapp": settings.whatsapp_connections_max,
    }
