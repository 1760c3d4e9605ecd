"""Delivery status notifications (RFC 3464): what a mail server says later of a mail that it had taken.

They come from anywhere: sizes, encodings and nesting are bounded before the library reads them, and nothing in them is
taken at its word but our own Message-ID and what became of it.
"""

import re
from collections.abc import Iterator
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from typing import Final

from delivery.domain.report import Kind, Report

BOUNCE_BYTES_MAX: Final = 1024 * 1024
NESTED_MAX: Final = 32
"""Parts that hold parts: the library goes down one by one, and looks at every line once for each."""
BLOCKS_MAX: Final = 1_000
RETURNED_BYTES_MAX: Final = 64 * 1024
_NESTED: Final = re.compile(rb"(?im)^content-type:\s*(?:multipart|message)/")
_MESSAGE_ID: Final = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@")
_WORD: Final = re.compile(r"\s*([a-z]+)", re.IGNORECASE)
_READER_FAULTS: Final = (
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the library is known to raise where a mail is none."""


def read_bounce(mail: bytes) -> Report | None:
    """What one notification says of a mail of ours; None where it is none, or says nothing yet (`delayed`).

    Of several recipients the one that failed counts.
    """
    if len(mail) > BOUNCE_BYTES_MAX or sum(1 for _ in _NESTED.finditer(mail)) > NESTED_MAX:
        return None
    try:
        return _read(BytesParser(policy=policy.compat32).parsebytes(mail))
    except _READER_FAULTS:
        return None


def _read(mail: Message) -> Report | None:
    if mail.get_content_type() != "multipart/report" or not mail.is_multipart():
        return None
    kind = _kind(mail)
    message_id = next(_message_ids(mail), None)
    return None if kind is None or message_id is None else Report(message_id, kind)


def _kind(mail: Message) -> Kind | None:
    actions = {
        found[1].lower()
        for part in _parts(mail)
        if part.get_content_type() == "message/delivery-status"
        for block in _parts(part)[:BLOCKS_MAX]
        if (found := _WORD.match(str(block.get("Action", "")))) is not None
    }
    if "failed" in actions:
        return "bounced"
    return "delivered" if "delivered" in actions else None


def _message_ids(mail: Message) -> Iterator[str]:
    """The Message-IDs of the mails that came back, whole or their headers alone."""
    for part in _parts(mail):
        kind = part.get_content_type()
        if kind == "message/delivery-status":
            continue
        returned: list[Message] = []
        if part.get_content_maintype() == "message":
            returned = _parts(part)
        elif kind == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                returned = [BytesHeaderParser(policy=policy.compat32).parsebytes(payload[:RETURNED_BYTES_MAX])]
        for one in returned:
            found = _MESSAGE_ID.search(str(one.get("Message-ID", "")))
            if found is not None:
                yield found[1]


def _parts(mail: Message) -> list[Message]:
    parts = mail.get_payload()
    return [one for one in parts if isinstance(one, Message)] if isinstance(parts, list) else []
