"""The sink over SMTP."""

import asyncio
import contextlib
import re
import socket
import struct
from email.errors import MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from typing import Any, Final

from aiosmtpd.smtp import SMTP, Envelope, Session
from chassis.clock import utc_now

from devstack.sink.behaviour import Behaviour, Behaviours, Stage
from devstack.sink.book import Arrival, Book, Outcome, arrived

SIZE_BYTES_MAX: Final = 1024 * 1024
IDLE_SECONDS_MAX: Final = 300.0
HANG_SECONDS_MAX: Final = 3_600.0
_RESET: Final = struct.pack("ii", 1, 0)
_REFUSALS: Final = {"mail": 550, "rcpt": 550, "data": 554}
_MESSAGE_ID: Final = re.compile(r"<([^@<>]+)@[^<>]*>")


class Mailbox:
    """What aiosmtpd calls for every command."""

    def __init__(self, book: Book, behaviours: Behaviours) -> None:
        self._book = book
        self._behaviours = behaviours

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        answer = await self._strike(server, address, stage="mail")
        if answer is None:
            envelope.begun = utc_now()  # type: ignore[attr-defined]  # it keeps what it is given
            envelope.mail_from = address
            envelope.mail_options.extend(mail_options)
        return answer or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        answer = await self._strike(server, address, stage="rcpt")
        if answer is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(rcpt_options)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        key, subject = _headers(content)
        begun = getattr(envelope, "begun", None)
        arrival = arrived("smtp", key=key, to=", ".join(envelope.rcpt_tos), subject=subject, body=content, begun=begun)
        if self._book.repeats("smtp", key):
            await self._book.note(arrival, "repeated", status=250)
            return "250 OK"
        rule = self._behaviours.decide("smtp", arrival.to or "")
        if rule is None:
            await self._book.note(arrival, "accepted", status=250)
            return "250 OK"
        return await self._misbehave(server, rule, arrival)

    async def _strike(self, server: SMTP, address: str, *, stage: Stage) -> str | None:
        rule = self._behaviours.decide("smtp", address, stage=stage)
        if rule is None:
            return None
        arrival = arrived("smtp", key=None, to=address if stage == "rcpt" else None, subject=None, body=b"")
        return await self._misbehave(server, rule, arrival)

    async def _misbehave(self, server: SMTP, rule: Behaviour, arrival: Arrival) -> str:
        match rule.mode:
            case "status" | "refuse":
                code = rule.status or rule.code or (_REFUSALS[rule.stage] if rule.mode == "refuse" else 451)
                outcome: Outcome = "refused" if rule.mode == "refuse" else "failed"
                await self._book.note(arrival, outcome, status=code)
                await asyncio.sleep(rule.delay_seconds)
                return f"{code} told to"
            case "hang":
                await self._book.note(arrival, "hung")
                await asyncio.sleep(rule.delay_seconds or HANG_SECONDS_MAX)
            case "reset":
                await self._book.note(arrival, "reset")
            case "accept_and_drop_answer":
                await self._book.note(arrival, "answer_dropped")
            case _:
                await self._book.note(arrival, "accepted", status=250)
                await asyncio.sleep(rule.delay_seconds)
                return "250 OK"
        _cut(server, reset=rule.mode == "reset")
        return "421 gone"


class MailServer:
    """Listens for SMTP."""

    def __init__(self, book: Book, behaviours: Behaviours) -> None:
        self._mailbox = Mailbox(book, behaviours)
        self._server: asyncio.Server | None = None
        self._open: set[SMTP] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Take no more connections and end those that are open."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._open):
            if connection.transport is not None:
                connection.transport.close()
        await self._server.wait_closed()

    def _connection(self) -> SMTP:
        return _Connection(self._mailbox, self._open)


class _Connection(SMTP):
    """One client; known to the server while it is there, so that a stop need not wait for it."""

    def __init__(self, mailbox: Mailbox, known: set[SMTP]) -> None:
        super().__init__(
            mailbox,
            data_size_limit=SIZE_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="sink.localhost",
            ident="Sink",
            timeout=IDLE_SECONDS_MAX,
            loop=asyncio.get_running_loop(),
        )
        self._known = known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._known.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._known.discard(self)
        super().connection_lost(error)


def _cut(server: SMTP, *, reset: bool) -> None:
    transport: Any = server.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _headers(content: bytes) -> tuple[str | None, str | None]:
    headers = BytesHeaderParser().parsebytes(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    found = _MESSAGE_ID.search(headers.get("Message-ID", ""))
    subject = headers.get("Subject")
    if subject is not None and "=?" in subject:
        with contextlib.suppress(MessageError, LookupError, UnicodeDecodeError):
            subject = str(make_header(decode_header(subject)))
    return found[1] if found else None, subject
