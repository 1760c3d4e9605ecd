"""What the error codes of the WhatsApp Cloud API mean for a message.

Source: https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes. The texts of an error change, its
code does not. What is wrong with our account (a token, a payment, a limit) will be put right by someone, and the
message is tried again; what is wrong with the message or its recipient is not.
"""

from dataclasses import dataclass
from typing import Final

from delivery.channels.base import Outcome

_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a code."""

    outcome: Outcome
    detail: str
    retry_after_seconds: float | None = None


def _retry(detail: str, after_seconds: float | None = None) -> Verdict:
    return Verdict(Outcome.RETRY, detail, after_seconds)


def _refused(detail: str) -> Verdict:
    return Verdict(Outcome.REFUSED, detail)


VERDICTS: Final[dict[int, Verdict]] = {
    0: _retry("the token was not accepted", _MINUTE),
    1: _retry("the provider's own fault"),
    2: _retry("the provider is down"),
    3: _retry("the account lacks a permission", _MINUTE),
    4: _retry("too many calls of this app", _MINUTE),
    10: _retry("the account lacks a permission", _MINUTE),
    33: _retry("the sender's number is gone", _MINUTE),
    100: _refused("a parameter is not valid"),
    190: _retry("the token has expired", _MINUTE),
    368: _retry("the account is blocked for a time", _HOUR),
    80007: _retry("too many calls of this account", _MINUTE),
    130403: _refused("the recipient is blocked by the sender"),
    130429: _retry("too many messages at once"),
    130472: _refused("the recipient takes part in an experiment"),
    130497: _refused("the sender may not message this country"),
    131000: _retry("the provider's own fault"),
    131005: _retry("the account lacks a permission", _MINUTE),
    131008: _refused("a parameter is missing"),
    131009: _refused("a parameter is not valid"),
    131016: _retry("the provider is overloaded"),
    131021: _refused("the recipient is the sender"),
    131026: _refused("the message cannot be delivered to this recipient"),
    131030: _refused("the recipient is not on the list of allowed ones"),
    131031: _retry("the account is locked", _HOUR),
    131037: _retry("the sender's display name is not approved", _HOUR),
    131042: _retry("the account's payment is not in order", _HOUR),
    131045: _retry("the sender's number is not registered rightly", _MINUTE),
    131047: _refused("more than 24 hours have passed since the recipient last wrote"),
    131048: _retry("the sender's number sends too much that is marked as spam", _HOUR),
    131049: _retry("the recipient has had enough of marketing for now", _DAY),
    131050: _refused("the recipient wants no marketing from this sender"),
    131051: _refused("the type of message is not supported"),
    131052: _refused("media could not be read"),
    131053: _refused("media could not be uploaded"),
    131056: _retry("too many messages from this sender to this recipient", 6.0),
    131057: _retry("the account is in maintenance", _MINUTE),
    132015: _retry("the template is paused for its low quality", 3 * _HOUR),
    132069: _retry("the flow is throttled", _HOUR),
    133004: _retry("the provider is down"),
    133010: _retry("the sender's number is not registered", _MINUTE),
    135000: _refused("the message was not understood"),
}


def verdict(code: int, *, status: int) -> Verdict:
    """What to do; a code that is not in the table goes by its family, then by the status of the answer."""
    known = VERDICTS.get(code)
    if known is not None:
        return known
    if 132000 <= code < 133000:
        return _refused("the template does not fit")
    if 200 <= code < 300:
        return _retry("the account lacks a permission", _MINUTE)
    if status == 429 or status >= 500:
        return _retry("an error that is not in our table")
    return _refused("an error that is not in our table")
