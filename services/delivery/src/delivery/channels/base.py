"""What every channel takes, gives and promises."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from templates import Content, EmailContent, WebhookContent, WhatsAppContent

__all__ = [
    "Channel",
    "Content",
    "EmailContent",
    "Outcome",
    "Outgoing",
    "Result",
    "SendStopped",
    "WebhookContent",
    "WhatsAppContent",
]


class SendStopped(Exception):
    """Raised by the check before the first byte: the message must not leave. Nothing of it has."""


@dataclass(slots=True)  # one for each message: to freeze it would cost as much as to render it
class Outgoing:
    """One rendered message. `message_id` is its idempotency key and the same in every attempt."""

    message_id: str
    channel: str
    sender: str | None
    """Whose credentials, by name; None: those of the settings."""
    to: str | None = field(repr=False)
    content: Content = field(repr=False)
    contact_id: str | None = None
    """Whom it is for, by id: for the link to unsubscribe."""


class Outcome(Enum):
    """What became of an attempt."""

    SENT = "sent"
    REFUSED = "refused"
    """The provider does not want it, and will not want it later."""
    RETRY = "retry"
    """Nothing was delivered; later it may be."""
    UNKNOWN = "unknown"
    """The provider may or may not have it. Only an idempotent channel can be tried again without harm."""


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome with its reason. `code` and `detail` are words of ours and numbers of the provider, never its texts,
    an address or a value."""

    outcome: Outcome
    code: str | None = None
    detail: str | None = None
    provider_message_id: str | None = None
    retry_after_seconds: float | None = None

    @classmethod
    def sent(cls, provider_message_id: str | None = None) -> "Result":
        """The provider has it."""
        return _SENT if provider_message_id is None else cls(Outcome.SENT, provider_message_id=provider_message_id)

    @classmethod
    def refused(cls, code: str, detail: str) -> "Result":
        """For good."""
        return cls(Outcome.REFUSED, code, detail)

    @classmethod
    def retry(cls, code: str, detail: str, *, after_seconds: float | None = None) -> "Result":
        """For now; `after_seconds` where the provider said so."""
        return cls(Outcome.RETRY, code, detail, retry_after_seconds=after_seconds)

    @classmethod
    def unknown(cls, code: str, detail: str) -> "Result":
        """Nobody can say."""
        return cls(Outcome.UNKNOWN, code, detail)


_SENT: Final = Result(Outcome.SENT)


class Channel(Protocol):
    """Sends messages of one kind, many at once, each within the time of its settings."""

    @property
    def name(self) -> str:
        """`email`, `webhook`, `whatsapp`."""

    @property
    def idempotent(self) -> bool:
        """Whether the provider honours our key, so that a message of which nothing is known may be sent again."""

    async def open(self) -> None:
        """Get ready; connects to nothing."""

    async def close(self) -> None:
        """Let go of all connections. No send may be under way."""

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """Send once.

        `before_first_byte` is called once per connection that is tried, with the connection at hand and nothing
        awaited between it and the first byte of the message. It may raise `SendStopped`, which comes out of here:
        then nothing was sent. Every other failure is a Result.
        """


def unknown_sender(message: Outgoing, sender: str | None) -> Result | None:
    """What a channel with the credentials of one sender says to a message of another. They may be added."""
    if message.sender == sender:
        return None
    return Result.retry("sender_unknown", "the settings hold no sender of this name")
