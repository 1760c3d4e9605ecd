"""Which results tell that a provider, or our account there, is failing: what the breaker counts."""

from typing import Final

from delivery.channels.base import Outcome, Result

_OURS: Final = frozenset(
    {"address_invalid", "address_refused", "internal", "sender_unknown", "step_gone", "template_failed", "url_invalid"}
)
"""Nothing was asked of the provider: these say neither good nor bad of it."""
_OF_THE_MESSAGE: Final = frozenset(
    {
        "smtp_450",  # the recipient's mailbox is busy
        "whatsapp_131049",  # the recipient has had enough of marketing
        "whatsapp_131056",  # too many messages to this recipient
        "whatsapp_132015",  # the template is paused
        "whatsapp_132069",  # the flow is throttled
    }
)
"""Put off for the sake of one recipient or one template."""
_OF_THE_ACCOUNT: Final = frozenset({"http_401", "http_403", "http_407"})
"""Refused for good, and not for the recipient's sake. Of WhatsApp and SMTP such things are tried again."""


def provider_failed(result: Result) -> bool | None:
    """Whether the provider (or the account) failed, or did its work; None where it was not asked at all.

    A refusal of one recipient is work done. What is put off (429, 5xx, no connection, credentials) or without an answer
    in time is a failure, except where it is put off for one recipient's or template's sake.
    """
    if result.outcome is Outcome.SENT:
        return False
    if result.code in _OURS:
        return None
    match result.outcome:
        case Outcome.REFUSED:
            return result.code in _OF_THE_ACCOUNT
        case Outcome.RETRY:
            return result.code not in _OF_THE_MESSAGE
        case Outcome.UNKNOWN:
            return True
