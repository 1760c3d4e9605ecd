"""The link by which somebody opts out: signed, so that nobody opts out others, and good for ever.

It names a message and its contact by their ids and holds nothing personal.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sluice_contracts.base import ID_PATTERN

_PURPOSE: Final = b"sluice.unsubscribe.1:"
_SIGNATURE_BYTES: Final = 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{40,200}")
_ID: Final = re.compile(ID_PATTERN)


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """Whom a link is for, and the message that it came with."""

    message_id: str
    contact_id: str


def token_of(message_id: str, contact_id: str, *, key: bytes) -> str:
    """The last part of the link: the message's id, the contact's id and their signature, in base64url."""
    said = UUID(message_id).bytes + contact_id.encode()
    return base64.urlsafe_b64encode(said + _signature(said, key)).decode().rstrip("=")


def read_token(token: str, *, key: bytes) -> Unsubscription | None:
    """Whom it is for; None where we never made it."""
    if not _TOKEN.fullmatch(token):
        return None
    try:
        held = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        return None
    said, signature = held[:-_SIGNATURE_BYTES], held[-_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(said, key)):
        return None
    contact_id = said[16:].decode("ascii", errors="replace")
    return Unsubscription(str(UUID(bytes=said[:16])), contact_id) if _ID.fullmatch(contact_id) else None


def _signature(said: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + said, hashlib.sha256)[:_SIGNATURE_BYTES]
