"""E-mail over SMTP, on kept connections.

A mail has left when its final dot is written. What goes wrong before is tried again; when the answer to the dot is
lost, nobody knows (RFC 1047): the Message-ID stays the same, so that a later copy can be told for what it is.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)
from chassis.clock import utc_now

from delivery.channels.base import EmailContent, Outgoing, Result, unknown_sender
from delivery.channels.mime import AddressInvalid, Letterhead, mailbox
from delivery.channels.settings import Credentials
from delivery.channels.smtp_pool import Connection, SmtpPool
from delivery.domain.unsubscribe import token_of

RESET_SECONDS_MAX: Final = 2.0
_OURS: Final = frozenset({500, 501, 502, 503, 504, 530, 534, 535, 538})
"""Refusals that say nothing of the message or its recipient: credentials and settings, which someone will put right."""


class _Progress:
    """How far a message has come."""

    def __init__(self, before_first_byte: Callable[[], None]) -> None:
        self.before_first_byte = before_first_byte
        self.answered = False
        """The server has said something to it."""
        self.left = False
        """Its final dot may be written."""
        self.result: Result | None = None
        """Known; what the connection does afterwards cannot change it."""


class EmailChannel:
    """Mail has no idempotency key: what may have arrived is not sent again."""

    name = "email"
    idempotent = False

    def __init__(self, settings: Credentials, *, tls: ssl.SSLContext | None = None, sender: str | None = None) -> None:
        if settings.email_host is None or settings.email_from is None:
            raise ValueError("no mail server is set")
        self.sender = sender
        self._settings = settings
        self._letterhead = Letterhead(settings.email_from)
        self._tls = tls
        self._pool: SmtpPool | None = None

    async def open(self) -> None:
        """Get ready."""
        if self._tls is None and self._settings.email_tls != "none":
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        self._pool = SmtpPool(self._connect, connections_max=self._settings.email_connections_max)

    async def close(self) -> None:
        """Say goodbye on every connection."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    async def send(self, message: Outgoing, *, before_first_byte: Callable[[], None]) -> Result:
        """Send once. The check is made before MAIL FROM, the first that the server hears of the message.

        Where a kept connection turns out to be gone, the message goes over a fresh one, after another check.
        """
        assert isinstance(message.content, EmailContent)
        if (unknown := unknown_sender(message, self.sender)) is not None:
            return unknown
        try:
            to = mailbox(message.to)
        except AddressInvalid as invalid:
            return Result.refused("address_invalid", str(invalid))
        letter = self._letterhead.write(
            message.content,
            to=to,
            message_id=message.message_id,
            now=utc_now(),
            unsubscribe_url=self._unsubscribe_url(message),
        )
        progress = _Progress(before_first_byte)
        try:
            async with asyncio.timeout(self._settings.send_seconds_max):
                return await self._deliver(to, letter, progress)
        except (SMTPException, OSError) as error:
            return progress.result or _failed(error, progress)

    def _unsubscribe_url(self, message: Outgoing) -> str | None:
        base, secret = self._settings.unsubscribe_url, self._settings.unsubscribe_secret
        if base is None or secret is None or message.contact_id is None:
            return None
        token = token_of(message.message_id, message.contact_id, key=secret.get_secret_value().encode())
        return f"{base.rstrip('/')}/{token}"

    async def _deliver(self, to: str, letter: bytes, progress: _Progress) -> Result:
        assert self._pool is not None, "not open"
        connection = await self._pool.acquire()
        try:
            return await self._try(connection, to, letter, progress)
        except SMTPServerDisconnected:
            if not connection.messages or progress.answered:
                raise
        return await self._try(await self._pool.acquire(fresh=True), to, letter, progress)

    async def _try(self, connection: Connection, to: str, letter: bytes, progress: _Progress) -> Result:
        """One message over one connection, which is given back clean or not at all."""
        assert self._pool is not None, "not open"
        clean = False
        try:
            try:
                progress.before_first_byte()
            except Exception:
                clean = True
                raise
            progress.result = await self._transact(connection.client, to, letter, progress)
            connection.messages += 1
            clean = progress.left or await _reset(connection.client)
            return progress.result
        finally:
            self._pool.release(connection, reusable=clean)

    async def _transact(self, client: SMTP, to: str, letter: bytes, progress: _Progress) -> Result:
        answer = await client.execute_command(b"MAIL", b"FROM:<" + self._letterhead.address.encode() + b">")
        progress.answered = True
        if answer.code != 250:
            # The server does not want our sender, whoever the recipient is.
            return Result.retry(f"smtp_{answer.code}", "the server refused the sender")
        answer = await client.execute_command(b"RCPT", b"TO:<" + to.encode() + b">")
        if answer.code not in (250, 251):
            return _judge(answer.code, "the recipient", left=False)
        answer = await client.execute_command(b"DATA")
        protocol = client.protocol
        if answer.code != 354 or protocol is None:
            return _judge(answer.code, "the message", left=False)
        progress.left = True
        protocol.write(letter)
        answer = await protocol.read_response(timeout=self._settings.send_seconds_max)
        if answer.code == 421:
            client.close()  # the server is going away
        return Result.sent() if answer.code == 250 else _judge(answer.code, "the message", left=True)

    async def _connect(self) -> SMTP:
        settings = self._settings
        start_tls: bool | None = None if settings.email_tls == "auto" else settings.email_tls == "starttls"
        if settings.email_password is not None and settings.email_tls == "auto":
            start_tls = True
        client = SMTP(
            hostname=settings.email_host,
            port=settings.email_port,
            timeout=settings.send_seconds_max,
            use_tls=settings.email_tls == "tls",
            start_tls=start_tls,
            tls_context=self._tls,
            username=settings.email_username,
            password=None if settings.email_password is None else settings.email_password.get_secret_value(),
            local_hostname=self._letterhead.domain,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except BaseException:
            client.close()
            raise
        return client


async def _reset(client: SMTP) -> bool:
    """Make the server forget a message that it did not take, so that the connection serves the next recipient."""
    if not client.is_connected:
        return False
    try:
        return (await client.execute_command(b"RSET", timeout=RESET_SECONDS_MAX)).code == 250
    except (SMTPException, OSError):
        return False


def _judge(code: int, what: str, *, left: bool) -> Result:
    """What the server's answer means: RFC 5321 4.2.1, 4 for now and 5 for good."""
    if 400 <= code < 500 or code in _OURS:
        return Result.retry(f"smtp_{code}", f"the server put off {what}")
    if 500 <= code < 600:
        return Result.refused(f"smtp_{code}", f"the server refused {what}")
    answer = Result.unknown if left else Result.retry
    return answer("answer_invalid", "the server's answer is no SMTP")


def _failed(error: Exception, progress: _Progress) -> Result:
    """What a failure without an answer means: it hangs on whether the final dot may have been read."""
    timed_out = isinstance(error, TimeoutError | SMTPTimeoutError)
    if progress.left:
        return Result.unknown("timeout" if timed_out else "connection_lost", "no answer to the final dot")
    if progress.answered:
        return Result.retry("timeout" if timed_out else "connection_lost", "lost before the message was sent")
    if isinstance(error, SMTPAuthenticationError):
        return Result.retry("smtp_auth", "the server did not accept the credentials", after_seconds=60.0)
    if isinstance(error, SMTPResponseException):
        return Result.retry(f"smtp_{error.code}", "the server turned the connection down")
    if isinstance(error, ssl.SSLError):
        return Result.retry("tls", "no secure connection came about")
    return Result.retry("connect_timeout" if timed_out else "connect", "no connection came about")
