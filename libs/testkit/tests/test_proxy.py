"""The network that can be told to fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from testkit.proxy import LOOPBACK, Network


@asynccontextmanager
async def echoed() -> AsyncIterator[tuple[Network, int]]:
    """A server that says what it is told, behind a link."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    free = await asyncio.start_server(echo, LOOPBACK, 0)
    target, listen = server.sockets[0].getsockname()[1], free.sockets[0].getsockname()[1]
    free.close()
    network = await Network.start({"echo": (listen, target)})
    try:
        yield network, listen
    finally:
        await network.stop()
        server.close()


async def answer(reader: asyncio.StreamReader, *, seconds_max: float = 10.0) -> bytes:
    async with asyncio.timeout(seconds_max):
        return await reader.read(1024)


async def newcomer(port: int) -> bytes:
    reader, _ = await asyncio.open_connection(LOOPBACK, port)
    return await answer(reader)


async def test_a_link_passes_what_it_is_given() -> None:
    async with echoed() as (_, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"hello")

        assert await answer(reader) == b"hello"
        writer.close()


@pytest.mark.parametrize("mode", ["hold", "mute"])
async def test_what_is_held_passes_when_the_link_is_well_again(mode: str) -> None:
    async with echoed() as (network, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        await network.set("echo", mode)  # type: ignore[arg-type]
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await answer(reader, seconds_max=0.2)

        await network.set("echo", "pass")

        assert await answer(reader) == b"hello"
        writer.close()


async def test_a_cut_resets_what_is_open_and_what_comes() -> None:
    async with echoed() as (network, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"hello")
        await answer(reader)

        await network.set("echo", "cut")

        with pytest.raises(ConnectionResetError):
            await answer(reader)
        with pytest.raises(ConnectionResetError):
            await newcomer(port)
        writer.close()


async def test_dripping_loses_nothing() -> None:
    async with echoed() as (network, port):
        await network.set("echo", "drip")
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"x" * 2_000)

        async with asyncio.timeout(10):
            assert await reader.readexactly(2_000) == b"x" * 2_000
        writer.close()
