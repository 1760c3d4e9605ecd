"""The network that can be told to fail."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from testkit.proxy import LOOPBACK, Mode, Network


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
async def test_what_is_held_passes_when_the_link_is_well_again(mode: Mode) -> None:
    async with echoed() as (network, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        await network.set("echo", mode)
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


async def test_what_is_lost_is_told_to_nobody_and_stays_lost_while_newcomers_come_through() -> None:
    async with echoed() as (network, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"hello")
        await answer(reader)

        await network.set("echo", "lose")
        writer.write(b"is there anybody?")
        with pytest.raises(TimeoutError):
            await answer(reader, seconds_max=0.3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await newcomer(port)
        both_sides = await network.set("echo", "pass")

        with pytest.raises(TimeoutError):
            await answer(reader, seconds_max=0.3)
        again, other = await asyncio.open_connection(LOOPBACK, port)
        other.write(b"hello")
        assert await answer(again) == b"hello"
        assert both_sides == 2
        writer.transport.abort()
        other.close()


async def test_the_kernel_of_who_speaks_into_what_is_lost_can_find_that_out() -> None:
    async with echoed() as (network, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"hello")
        await answer(reader)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)

        await network.set("echo", "lose")
        writer.write(b"is there anybody?")

        with pytest.raises(TimeoutError) as raised:
            await answer(reader)
        assert raised.value.errno == errno.ETIMEDOUT
        writer.close()


@pytest.mark.parametrize(
    ("mode", "seconds"), [("cut", 0.0), ("hold", 0.0), ("mute", 0.0), ("slow", 0.1), ("drip", 0.0)]
)
async def test_a_mode_tells_in_the_end_whether_it_met_anything(mode: Mode, seconds: float) -> None:
    async with echoed() as (network, port):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"hello")
        await answer(reader)

        await network.set("echo", mode, seconds=seconds)
        met_nothing = await network.set("echo", "pass")
        await network.set("echo", mode, seconds=seconds)
        writer.write(b"x" * 600)
        await asyncio.sleep(0.2)
        met = await network.set("echo", "pass")

        assert (met_nothing > 0, met > 0) == ((True, False) if mode == "cut" else (False, True))
        writer.close()


async def test_dripping_loses_nothing() -> None:
    async with echoed() as (network, port):
        await network.set("echo", "drip")
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(b"x" * 2_000)

        async with asyncio.timeout(10):
            assert await reader.readexactly(2_000) == b"x" * 2_000
        writer.close()
