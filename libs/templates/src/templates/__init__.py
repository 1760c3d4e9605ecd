"""What a step's message says, made for one contact.

`check_message` finds every fault when a sequence is published; `compile_message` gives a `CompiledMessage`, which is
kept per step and renders purely: the same contact, the same content.
"""

from templates.content import (
    MESSAGE_BYTES_MAX,
    Contact,
    Content,
    EmailContent,
    TemplateFault,
    WebhookContent,
    WhatsAppContent,
)
from templates.message import CompiledMessage, check_message, compile_message, step_faults

__all__ = [
    "MESSAGE_BYTES_MAX",
    "CompiledMessage",
    "Contact",
    "Content",
    "EmailContent",
    "TemplateFault",
    "WebhookContent",
    "WhatsAppContent",
    "check_message",
    "compile_message",
    "step_faults",
]
