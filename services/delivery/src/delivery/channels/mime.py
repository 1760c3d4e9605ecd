"""An e-mail as the bytes that go over the wire; written by hand, for the library's own way costs ten times as much."""

import base64
import re
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from typing import Final

from templates import EmailContent

_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_LOCAL_PART_MAX: Final = 64
_ADDRESS_MAX: Final = 254
_LINE_MAX: Final = 900
_HEADER_LINE_MAX: Final = 76
_SUBJECT_PLAIN_MAX: Final = 200
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DOT: Final = re.compile(rb"(?m)^\.")


class AddressInvalid(Exception):
    """No address that mail can be sent to. The text does not hold it."""


def mailbox(address: str | None) -> str:
    """An address, its domain in ASCII; AddressInvalid for anything else: a list, a name, a control character."""
    local, _, domain = (address or "").strip().rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise AddressInvalid("the domain is not valid") from None
    if not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise AddressInvalid("the address is not valid")
    if len(local) > _LOCAL_PART_MAX or len(local) + 1 + len(domain) > _ADDRESS_MAX:
        raise AddressInvalid("the address is too long")
    return f"{local}@{domain}"


class Letterhead:
    """What all mails of one sender share."""

    def __init__(self, sender: str) -> None:
        name, address = parseaddr(sender)
        self.address = mailbox(address)
        self.domain = self.address.rpartition("@")[2]
        self._from = formataddr((_CONTROL.sub(" ", name), self.address), charset="utf-8")

    def write(
        self, content: EmailContent, *, to: str, message_id: str, now: datetime, unsubscribe_url: str | None = None
    ) -> bytes:
        """The whole message, dots doubled and the final dot at its end, ready to follow DATA.

        Its Message-ID is made of `message_id` alone: every attempt bears the same.
        """
        head = [
            f"From: {self._from}",
            f"To: {to}",
            f"Subject: {_encoded(_CONTROL.sub(' ', content.subject))}",
            f"Date: {format_datetime(now)}",
            f"Message-ID: <{message_id}@{self.domain}>",
            "MIME-Version: 1.0",
        ]
        if unsubscribe_url is not None:  # RFC 2369, RFC 8058: one click, without a page
            head += [f"List-Unsubscribe: <{unsubscribe_url}>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"]
        body = _body(content, boundary=f"=_{message_id}")
        lines = "\r\n".join(head).encode("ascii") + b"\r\n" + body
        return _DOT.sub(b"..", lines) + b".\r\n"


def _encoded(subject: str) -> str:
    if subject.isascii() and len(subject) <= _SUBJECT_PLAIN_MAX and "=?" not in subject:
        return subject
    return Header(subject, "utf-8", maxlinelen=_HEADER_LINE_MAX, header_name="Subject").encode(linesep="\r\n")


def _body(content: EmailContent, *, boundary: str) -> bytes:
    parts = [_part(kind, text) for kind, text in (("plain", content.text), ("html", content.html)) if text is not None]
    if len(parts) == 1:
        return parts[0]
    # Each part is in base64 or ends in a line of its own; the boundary has the message's id, which no text can know.
    mark = b"--" + boundary.encode("ascii")
    opening = b'Content-Type: multipart/alternative; boundary="' + boundary.encode("ascii") + b'"\r\n\r\n'
    return opening + b"".join(mark + b"\r\n" + part for part in parts) + mark + b"--\r\n"


def _part(kind: str, text: str) -> bytes:
    lines = _LINE_END.split(text)
    if text.isascii() and all(len(line) <= _LINE_MAX for line in lines):
        encoding, charset, payload = "7bit", "us-ascii", "\r\n".join(lines).encode("ascii")
        payload = payload if payload.endswith(b"\r\n") else payload + b"\r\n"
    else:
        encoding, charset = "base64", "utf-8"
        payload = base64.encodebytes("\r\n".join(lines).encode("utf-8")).replace(b"\n", b"\r\n")
    head = f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + payload
