"""Posts that are signed after Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from chassis.clock import utc_now
from pydantic import SecretStr

from delivery.channels.settings import webhook_key

TOLERANCE_SECONDS_MAX: Final = 300
"""How far a post's time may be from ours: one that was written down and sent again much later is refused."""
SIGNATURES_MAX: Final = 10
_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


class Unsigned(Exception):
    """A post that is not from who knows the secret, or not of now. The text says which."""


class Signatures:
    """Checks posts against one secret; without one nothing is signed."""

    def __init__(self, secret: SecretStr | None) -> None:
        self._key = None if secret is None else webhook_key(secret)

    def check(self, headers: Mapping[str, str], body: bytes) -> str:
        """The post's id; Unsigned where it may be anybody's."""
        if self._key is None:
            raise Unsigned("no secret is set here: nothing is taken")
        post_id, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not _ID.fullmatch(post_id) or not _SECONDS.fullmatch(seconds):
            raise Unsigned("the headers webhook-id, webhook-timestamp and webhook-signature are needed")
        signed = hmac.digest(self._key, f"{post_id}.{seconds}.".encode() + body, hashlib.sha256)
        expected = b"v1," + base64.b64encode(signed)
        given = headers.get("webhook-signature", "").encode(errors="surrogateescape").split(b" ", SIGNATURES_MAX)
        if not any(hmac.compare_digest(one, expected) for one in given):
            raise Unsigned("the signature does not fit")
        if abs(utc_now().timestamp() - int(seconds)) > TOLERANCE_SECONDS_MAX:
            raise Unsigned(f"webhook-timestamp is more than {TOLERANCE_SECONDS_MAX} seconds from now")
        return post_id
