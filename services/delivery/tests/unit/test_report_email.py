"""Delivery status notifications: ours are read, and nothing that anybody sends breaks it."""

from typing import Any

import pytest
from delivery.domain.report import Report
from delivery.domain.report_email import BOUNCE_BYTES_MAX, NESTED_MAX, read_bounce
from hypothesis import given
from hypothesis import strategies as st

MESSAGE_ID = "0a0e7a3c-6f0e-8b4e-a1c2-0d9be1f3c001"
RETURNED = f"""Content-Type: message/rfc822

From: Sluice <sluice@example.org>
Message-ID: <{MESSAGE_ID}@example.org>
Subject: Hi

Hello
"""
HEADERS_ALONE = f"""Content-Type: text/rfc822-headers

Subject: Hi
Message-ID:
 <{MESSAGE_ID}@example.org>
"""
ENCODED = """Content-Type: text/rfc822-headers
Content-Transfer-Encoding: base64

TWVzc2FnZS1JRDogPDBhMGU3YTNjLTZmMGUtOGI0ZS1hMWMyLTBkOWJlMWYzYzAwMUBleGFtcGxl
Lm9yZz4K
"""


def status(*actions: str) -> str:
    blocks = "".join(
        f"\nFinal-Recipient: rfc822; ada@example.org\nAction: {action}\nStatus: 5.1.1\n" for action in actions
    )
    return f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example.net\n{blocks}"


def notification(*parts: str) -> bytes:
    inner = "".join(f"--b\n{part}\n" for part in ("Content-Type: text/plain\n\nSorry.\n", *parts))
    head = (
        "From: MAILER-DAEMON@example.net\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n'
        "MIME-Version: 1.0\n"
    )
    return f"{head}\n{inner}--b--\n".encode()


@pytest.mark.parametrize("returned", [RETURNED, HEADERS_ALONE, ENCODED])
def test_what_could_not_be_delivered_has_bounced(returned: str) -> None:
    assert read_bounce(notification(status("failed"), returned)) == Report(MESSAGE_ID, "bounced")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_are_the_servers_choice(newline: str) -> None:
    mail = notification(status("failed"), RETURNED).replace(b"\n", newline.encode())

    assert read_bounce(mail) == Report(MESSAGE_ID, "bounced")


@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        (("Failed (it is full)",), "bounced"),
        (("delivered",), "delivered"),
        (("delivered", "failed"), "bounced"),
        (("delayed",), None),
        (("relayed", "expanded"), None),
        (("",), None),
        ((), None),
    ],
)
def test_only_what_is_final_counts_and_a_failure_most(actions: tuple[str, ...], kind: Any) -> None:
    found = read_bounce(notification(status(*actions), RETURNED))

    assert found == (None if kind is None else Report(MESSAGE_ID, kind))


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"Subject: I am on holiday\n\nBack on Monday.\n",
        notification(status("failed")),
        notification(RETURNED),
        notification(status("failed"), RETURNED.replace(MESSAGE_ID, "not-ours")),
        notification(status("failed"), RETURNED).replace(b"multipart/report", b"multipart/mixed"),
    ],
)
def test_what_is_no_notification_of_a_mail_of_ours_says_nothing(mail: bytes) -> None:
    assert read_bounce(mail) is None


def test_what_is_larger_or_deeper_than_any_notification_is_not_read() -> None:
    whole = notification(status("failed"), RETURNED)
    deep = b"Content-Type: message/rfc822\n\n" * NESTED_MAX

    assert read_bounce(whole + b"x" * BOUNCE_BYTES_MAX) is None
    assert read_bounce(deep + whole) is None
    assert read_bounce(deep.replace(b": message", b":\n message") + whole) is None


PIECES = st.sampled_from(
    [
        b"Content-Type: ",
        b"multipart/report",
        b"message/delivery-status",
        b"message/rfc822",
        b"message/global",
        b"text/rfc822-headers",
        b"; boundary=",
        b'"b"',
        b"b",
        b"--b\n",
        b"--b--\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"\t",
        b" ",
        b";",
        b"=",
        b"Action: failed\n",
        b"Action:",
        b"Message-ID: <" + MESSAGE_ID.encode() + b"@x>",
        b"=?utf-8?b?",
        b"?=",
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: x-uuencode\n",
        b"charset*=nonsense''%ff",
        b"charset=idna",
        b"boundary*0=b",
        b"boundary*1*=%62",
        b"\x00",
        b"\xff\xfe",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=6), max_size=60))
def test_no_garbage_breaks_it(pieces: list[bytes]) -> None:
    found = read_bounce(b"".join(pieces))

    assert found is None or found.message_id == MESSAGE_ID


@given(st.data())
def test_no_damage_to_a_notification_breaks_it(data: st.DataObject) -> None:
    mail = bytearray(notification(status("failed"), RETURNED))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(mail)))
        mail[place : place + data.draw(st.integers(0, 12))] = data.draw(PIECES | st.binary(max_size=4))

    found = read_bounce(bytes(mail))

    assert found is None or found.kind in ("bounced", "delivered")
