"""Ask a health endpoint, with nothing but a socket."""

from __future__ import annotations

import asyncio
from typing import Final

from devstack.ports import LOOPBACK

PROBE_SECONDS_MAX: Final = 3.0


async def says_ok(port: int, path: str) -> bool:
    """Whether `GET path` on a loopback port answers 200."""
    try:
        async with asyncio.timeout(PROBE_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status
