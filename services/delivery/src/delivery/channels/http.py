"""One POST over HTTP, and what its failures mean."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    InvalidURL,
)
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload
from chassis.clock import utc_now

from delivery.channels.base import Result
from delivery.channels.guard import AddressRefused

ANSWER_BYTES_MAX: Final = 64 * 1024
RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
_PIECE_BYTES: Final = 8 * 1024


class GatedBody(BytesPayload):
    """A body that asks for leave when it is written.

    aiohttp calls this with the connection at hand. It holds the headers back to send them with the first piece of the
    body, and nothing is awaited between the check and that write: so no byte of a request leaves without it, and none
    can be later. A refusal costs the connection, for aiohttp has no way to take a request back.
    """

    def __init__(self, body: bytes, before_first_byte: Callable[[], None]) -> None:
        super().__init__(body, content_type="application/json")
        self._before_first_byte = before_first_byte
        self.begun = False
        self.stopped: Exception | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Check, then write."""
        try:
            self._before_first_byte()
        except Exception as stopped:
            self.stopped = stopped
            raise
        self.begun = True
        await super().write_with_length(writer, content_length)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is None where it is too long or did not come whole."""

    status: int
    retry_after_seconds: float | None
    body: bytes | None


async def post(
    session: ClientSession,
    url: str,
    body: GatedBody,
    *,
    headers: Mapping[str, str],
    seconds_max: float,
    read_seconds_max: float | None = None,
) -> Answer | Result:
    """Send and wait for the answer; a Result where none came.

    Once the status is there, what follows cannot change it: an endless or broken answer leaves `body` None.
    """
    answer: Answer | None = None
    try:
        async with (
            asyncio.timeout(seconds_max),
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            after = retry_after(response.headers.get("Retry-After"))
            if response.content.is_eof() and response.content.total_bytes <= ANSWER_BYTES_MAX:  # it came with its head
                return Answer(response.status, after, response.content.read_nowait())
            answer = Answer(response.status, after, None)
            async with asyncio.timeout(read_seconds_max):
                answer = Answer(response.status, after, await _read(response))
    except (ClientError, OSError, ValueError) as error:
        if body.stopped is not None:
            raise body.stopped from None
        return answer or _failed(error, begun=body.begun)
    return answer


async def _read(response: ClientResponse) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            response.close()
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _failed(error: Exception, *, begun: bool) -> Result:
    """Before the first byte nothing was delivered; after it nobody knows."""
    if begun:
        if isinstance(error, TimeoutError):
            return Result.unknown("timeout", "no answer in time")
        if isinstance(error, ClientResponseError):
            return Result.unknown("answer_invalid", "the answer is no HTTP")
        return Result.unknown("connection_lost", "the connection was lost before the answer")
    if isinstance(error, AddressRefused) or (
        isinstance(error, ClientConnectorError) and isinstance(error.os_error, AddressRefused)
    ):
        return Result.refused("address_refused", "the address is not a public one")
    if isinstance(error, InvalidURL | ValueError):
        return Result.refused("url_invalid", "the address is no valid one")
    if isinstance(error, ClientConnectorDNSError):
        return Result.retry("dns", "the host's name was not resolved")
    if isinstance(error, ClientSSLError):
        return Result.retry("tls", "no secure connection came about")
    if isinstance(error, TimeoutError):
        return Result.retry("connect_timeout", "no connection in time")
    return Result.retry("connect", "no connection came about")


def retry_after(value: str | None) -> float | None:
    """Retry-After in seconds from now, at most a day: it is written in seconds or as a date (RFC 9110 10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(int(value)) if value.strip().isdigit() else _until(value)
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def _until(date: str) -> float:
    return (parsedate_to_datetime(date) - utc_now()).total_seconds()
