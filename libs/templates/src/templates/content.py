"""What goes into a template and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MESSAGE_BYTES_MAX: Final = 64 * 1024


class TemplateFault(Exception):
    """A template breaks a rule, when compiled or for one contact; it names the place and the rule, never a value."""

    def __init__(self, place: str, rule: str) -> None:
        super().__init__(f"{place}: {rule}")
        self.place = place
        self.rule = rule


# None of these is frozen: one is made for each message, and freezing it costs three times as much as making it.


@dataclass(slots=True)
class Contact:
    """What a template sees of a contact: `contact.id`, `contact.tags`, and every attribute by its name.

    The attributes hold JSON values only. One that is called `id` or `tags` is hidden by ours.
    """

    id: str
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tags: Sequence[str] = field(default=(), repr=False)


@dataclass(slots=True)
class EmailContent:
    """An e-mail; the subject is one line."""

    subject: str = field(repr=False)
    text: str | None = field(repr=False)
    html: str | None = field(repr=False)


@dataclass(slots=True)
class WhatsAppContent:
    """A template that WhatsApp has approved, and the values of its variables, each one line."""

    template: str
    language: str
    variables: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(slots=True)
class WebhookContent:
    """JSON, as the bytes that are signed and sent."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)


Content = EmailContent | WhatsAppContent | WebhookContent
