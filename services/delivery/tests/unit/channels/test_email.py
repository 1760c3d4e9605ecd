"""E-mail, sent to a real SMTP server."""

import asyncio
import shutil
import ssl
import subprocess
from dataclasses import replace
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from chassis.clock import monotonic
from delivery.channels.base import EmailContent, Outcome, Outgoing, SendStopped
from delivery.channels.email import EmailChannel
from delivery.channels.settings import ChannelSettings
from delivery.domain.unsubscribe import Unsubscription, read_token
from pydantic import SecretStr

HELLO = EmailContent(subject="Three tips", text="Hi Ada\n.\n..two\nbye", html=None)


def mail(to: str | None = "ada@example.org", key: str = "m-1", content: EmailContent = HELLO) -> Outgoing:
    return Outgoing(message_id=key, channel="email", sender=None, to=to, content=content)


async def test_a_mail_arrives_as_it_was_written(channel: Any, gate: Any, arrivals: Any) -> None:
    async with channel("email") as email:
        result = await email.send(mail(), before_first_byte=gate)

    (arrival,) = arrivals()
    message = message_from_string(arrival["body"], policy=policy.default)
    assert result.outcome is Outcome.SENT
    assert gate.asked == 1
    assert (arrival["message_id"], arrival["to"], arrival["subject"]) == ("m-1", "ada@example.org", "Three tips")
    assert message["From"] == "Sluice <us@sluice.example>"
    assert message["Message-ID"] == "<m-1@sluice.example>"
    assert message.get_content() == "Hi Ada\r\n.\r\n..two\r\nbye\r\n"


async def test_a_mail_bears_a_link_that_unsubscribes_its_contact_in_one_click(
    channel: Any, gate: Any, arrivals: Any
) -> None:
    message_id, contact_id = "0a0e7a3c-6f0e-8b4e-a1c2-0d9be1f3c001", "c" * 64
    settings = {"unsubscribe_url": "https://mail.example/unsubscribe/", "unsubscribe_secret": "never to be changed"}
    outgoing = replace(mail(key=message_id), contact_id=contact_id)
    async with channel("email", **settings) as email:
        for _ in range(2):
            await email.send(outgoing, before_first_byte=gate)

    first, again = (message_from_string(one["body"], policy=policy.compat32) for one in arrivals())
    link = first["List-Unsubscribe"]
    token = link.removeprefix("<https://mail.example/unsubscribe/").removesuffix(">")
    assert first["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert again["List-Unsubscribe"] == link
    assert read_token(token, key=b"never to be changed") == Unsubscription(message_id, contact_id)


async def test_without_an_address_for_it_a_mail_bears_no_such_link(channel: Any, gate: Any, arrivals: Any) -> None:
    async with channel("email", unsubscribe_secret="never to be changed") as email:
        await email.send(replace(mail(), contact_id="c"), before_first_byte=gate)

    assert "List-Unsubscribe" not in arrivals()[0]["body"]


async def test_text_and_html_of_any_script_arrive_as_alternatives(channel: Any, gate: Any, arrivals: Any) -> None:
    content = EmailContent(subject="Grüße an Ада " + "lang " * 30, text="Привет\n", html="<p>" + "ü" * 2_000 + "</p>\n")
    async with channel("email") as email:
        await email.send(mail(content=content), before_first_byte=gate)

    (arrival,) = arrivals()
    message = message_from_string(arrival["body"], policy=policy.default)
    bodies = [part.get_content().replace("\r\n", "\n") for part in message.iter_parts()]
    assert message.get_content_type() == "multipart/alternative"
    assert message["Subject"] == content.subject
    assert bodies == [content.text, content.html]
    assert max(len(line) for line in arrival["body"].split("\r\n")) < 998


async def test_one_connection_serves_many_messages(channel: Any, gate: Any, arrivals: Any, sink: Any) -> None:
    async with channel("email") as email:
        for number in range(20):
            await email.send(mail(key=f"m-{number}"), before_first_byte=gate)
        connections = len(sink._mail._open)

    assert len(arrivals()) == 20
    assert connections == 1


async def test_no_more_connections_than_allowed_are_opened(channel: Any, gate: Any, arrivals: Any, sink: Any) -> None:
    async with channel("email", email_connections_max=3) as email:
        results = await asyncio.gather(
            *(email.send(mail(key=f"m-{number}"), before_first_byte=gate) for number in range(30))
        )
        connections = len(sink._mail._open)

    assert {result.outcome for result in results} == {Outcome.SENT}
    assert len({arrival["message_id"] for arrival in arrivals()}) == 30
    assert connections <= 3


@pytest.mark.parametrize(
    ("rule", "outcome", "code"),
    [
        ({"mode": "refuse", "stage": "rcpt", "status": 550}, Outcome.REFUSED, "smtp_550"),
        ({"mode": "status", "stage": "rcpt", "status": 450}, Outcome.RETRY, "smtp_450"),
        ({"mode": "status", "stage": "mail", "status": 550}, Outcome.RETRY, "smtp_550"),
        ({"mode": "status", "stage": "mail", "status": 421}, Outcome.RETRY, "smtp_421"),
        ({"mode": "refuse", "status": 554}, Outcome.REFUSED, "smtp_554"),
        ({"mode": "status", "status": 451}, Outcome.RETRY, "smtp_451"),
        ({"mode": "status", "status": 530}, Outcome.RETRY, "smtp_530"),
        ({"mode": "reset", "stage": "mail"}, Outcome.RETRY, "connect"),
        ({"mode": "reset", "stage": "rcpt"}, Outcome.RETRY, "connection_lost"),
        ({"mode": "reset"}, Outcome.UNKNOWN, "connection_lost"),
        ({"mode": "accept_and_drop_answer"}, Outcome.UNKNOWN, "connection_lost"),
    ],
)
async def test_what_a_failure_means_hangs_on_when_it_comes(
    channel: Any, gate: Any, behave: Any, rule: dict[str, Any], outcome: Outcome, code: str
) -> None:
    behave(channel="smtp", count=1, **rule)

    async with channel("email") as email:
        result = await email.send(mail(), before_first_byte=gate)
        afterwards = await email.send(mail(key="m-2"), before_first_byte=gate)

    assert (result.outcome, result.code) == (outcome, code)
    assert "ada" not in (result.detail or "")
    assert afterwards.outcome is Outcome.SENT


@pytest.mark.parametrize(("stage", "outcome"), [("rcpt", Outcome.RETRY), ("data", Outcome.UNKNOWN)])
async def test_a_server_that_hangs_holds_a_send_no_longer_than_allowed(
    channel: Any, gate: Any, behave: Any, stage: str, outcome: Outcome
) -> None:
    behave(channel="smtp", mode="hang", stage=stage, count=1)
    began = monotonic()

    async with channel("email", send_seconds_max=0.3) as email:
        result = await email.send(mail(), before_first_byte=gate)

    assert (result.outcome, result.code) == (outcome, "timeout")
    assert monotonic() - began < 3


async def test_one_bad_recipient_does_not_cost_the_connection(
    channel: Any, gate: Any, behave: Any, arrivals: Any, sink: Any
) -> None:
    behave(channel="smtp", mode="refuse", stage="rcpt", match="bad@")

    async with channel("email", email_connections_max=1) as email:
        results = [
            await email.send(mail(to=to, key=f"m-{number}"), before_first_byte=gate)
            for number, to in enumerate(["a@example.org", "bad@example.org", "b@example.org"])
        ]
        connections = len(sink._mail._open)

    assert [result.outcome for result in results] == [Outcome.SENT, Outcome.REFUSED, Outcome.SENT]
    assert connections == 1


async def test_a_kept_connection_that_is_gone_is_replaced_without_a_retry(
    channel: Any, gate: Any, behave: Any, arrivals: Any
) -> None:
    async with channel("email") as email:
        await email.send(mail(key="m-1"), before_first_byte=gate)
        behave(channel="smtp", mode="reset", stage="mail", count=1)
        result = await email.send(mail(key="m-2"), before_first_byte=gate)

    assert result.outcome is Outcome.SENT
    assert gate.asked == 3
    assert [arrival["message_id"] for arrival in arrivals() if arrival["accepted"]] == ["m-1", "m-2"]


async def test_a_stop_lets_nothing_out_and_keeps_the_connection(
    channel: Any, gate: Any, arrivals: Any, sink: Any
) -> None:
    async with channel("email") as email:
        await email.send(mail(key="m-1"), before_first_byte=gate)
        gate.stop = True
        with pytest.raises(SendStopped):
            await email.send(mail(key="m-2"), before_first_byte=gate)
        gate.stop = False
        await email.send(mail(key="m-3"), before_first_byte=gate)
        connections = len(sink._mail._open)

    assert [arrival["message_id"] for arrival in arrivals()] == ["m-1", "m-3"]
    assert connections == 1


async def test_a_server_that_is_not_there_is_tried_again(channel: Any, gate: Any, sink: Any) -> None:
    async with channel("email", email_port=1) as email:
        result = await email.send(mail(), before_first_byte=gate)

    assert (result.outcome, result.code, gate.asked) == (Outcome.RETRY, "connect", 0)


async def test_an_encrypted_connection_is_insisted_on_where_there_is_a_password(
    channel: Any, gate: Any, arrivals: Any
) -> None:
    async with channel("email", email_tls="auto", email_username="us", email_password="geheim") as email:
        result = await email.send(mail(), before_first_byte=gate)

    assert result.outcome is Outcome.RETRY
    assert "geheim" not in repr(result)
    assert arrivals() == []


@pytest.mark.parametrize(
    "to",
    [
        None,
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada@example.org, eve@example.org",
        "Ada <ada@example.org>",
        "ada@example.org\r\nRCPT TO:<eve@example.org>",
        "ada@example.org\nBcc: eve@example.org",
        "ada@exa mple.org",
        "ada@[127.0.0.1]",
        "a" * 65 + "@example.org",
        "ädä@example.org",
        "ada@example..org",
    ],
)
async def test_what_is_no_address_is_refused_before_anybody_is_asked(
    channel: Any, gate: Any, arrivals: Any, to: str | None
) -> None:
    async with channel("email") as email:
        result = await email.send(mail(to=to), before_first_byte=gate)

    assert (result.outcome, result.code) == (Outcome.REFUSED, "address_invalid")
    assert "ada" not in repr(result)
    assert arrivals() == []


async def test_a_domain_of_any_script_is_written_in_ascii(channel: Any, gate: Any, arrivals: Any) -> None:
    async with channel("email") as email:
        await email.send(mail(to="ada@bücher.example"), before_first_byte=gate)

    assert arrivals()[0]["to"] == "ada@xn--bcher-kva.example"


async def test_a_subject_cannot_add_a_header(channel: Any, gate: Any, arrivals: Any) -> None:
    content = EmailContent(subject="Hi\r\nBcc: eve@example.org\r\n\r\nbody", text="t", html=None)
    async with channel("email") as email:
        await email.send(mail(content=content), before_first_byte=gate)

    message = message_from_string(arrivals()[0]["body"], policy=policy.default)
    assert message["Bcc"] is None
    assert set(message) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that is its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate can be made for this test")
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        ["openssl", *made.split(), "-out", str(files[0]), "-keyout", str(files[1])], check=True, capture_output=True
    )
    return files


@pytest.mark.parametrize(("password", "outcome"), [("geheim", Outcome.SENT), ("wrong", Outcome.RETRY)])
async def test_credentials_go_over_an_encrypted_connection(
    gate: Any, certificate: tuple[Path, Path], password: str, outcome: Outcome
) -> None:
    received: list[bytes] = []

    class Mailbox:
        async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
            received.append(envelope.content)
            return "250 2.0.0 Ok"

    def judge(server: SMTP, session: Any, envelope: Any, mechanism: str, credentials: Any) -> AuthResult:
        return AuthResult(success=credentials.password == b"geheim")

    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(*certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Mailbox(), tls_context=theirs, authenticator=judge, auth_required=True, loop=loop), "127.0.0.1", 0
    )
    settings = ChannelSettings(
        email_host="localhost",
        email_port=server.sockets[0].getsockname()[1],
        email_from="us@sluice.example",
        email_username="us",
        email_password=SecretStr(password),
        send_seconds_max=10.0 if outcome is Outcome.SENT else 1.0,
    )
    async with server:
        email = EmailChannel(settings, tls=ssl.create_default_context(cafile=certificate[0]))
        await email.open()
        result = await email.send(mail(), before_first_byte=gate)
        await email.close()

    assert result.outcome is outcome
    assert len(received) == (outcome is Outcome.SENT)
    assert password not in repr(result)


async def test_an_answer_to_the_final_dot_that_is_no_smtp_leaves_it_unknown(channel: Any, gate: Any) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line == b".\r\n":
                writer.write(b"what?\r\n")
            elif line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
            elif line[:4] in (b"EHLO", b"MAIL", b"RCPT", b"RSET", b"QUIT"):
                writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server, channel("email", email_port=server.sockets[0].getsockname()[1]) as email:
        result = await email.send(mail(), before_first_byte=gate)

    assert result.outcome is Outcome.UNKNOWN
