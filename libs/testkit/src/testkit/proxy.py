"""A network that can be told to fail: TCP links that are cut, lost, held, slow or dripping.

`python -m testkit.proxy NAME=LISTEN:TARGET …` forwards loopback ports; one line of JSON on stdin changes a link, e.g.
`{"link": "kafka", "mode": "slow", "seconds": 0.2}`, and is answered with `ok N`: the mode that ends has met so many
connections (`cut`, `lose`) or pieces of what was sent. It ends with its stdin.
"""

import argparse
import asyncio
import ctypes
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import orjson
from chassis.clock import sleep

LOOPBACK: Final = "127.0.0.1"
CHUNK_BYTES: Final = 64 * 1024
DRIP_SECONDS: Final = 0.0125
DRIP_BYTES: Final = 128
"""Less than the smallest message to a sink has."""
Mode = Literal["pass", "cut", "lose", "hold", "mute", "slow", "drip"]
"""`cut`: connections are reset, new ones too. `lose` (Linux): they are half open. Neither side is told, what either
sends is not even acknowledged, and they stay so when the link is well again; new ones do not come about before that.
`hold`: connections stand, and no byte passes until the link is well again. `mute`: what the target says is held, what
it is told passes. `slow`: each piece is `seconds` late. `drip`: a little at a time."""
MODES: Final[tuple[str, ...]] = get_args(Mode)
_RESET: Final = struct.pack("ii", 1, 0)
_ATTACH_FILTER: Final = 26
_DETACH_FILTER: Final = 27
"""Of asm-generic/socket.h: Python does not name them."""
_DROP_ALL: Final = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
"""A packet filter of one instruction, `ret 0`: the kernel drops each segment before TCP sees it."""


@dataclass
class Link:
    """One port that leads to another."""

    name: str
    listen: int
    target: int
    mode: Mode = "pass"
    seconds: float = 0.0
    met: int = 0
    """What this mode has done something to."""
    well: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    lost: set[asyncio.StreamWriter] = field(default_factory=set)
    """Kept, so that nobody is told."""

    async def open(self) -> None:
        """Listen, until the process ends."""
        self.well.set()
        self._server = await asyncio.start_server(self._connected, LOOPBACK, self.listen)

    def change(self, mode: Mode, seconds: float) -> int:
        """From now on; what was held passes as soon as the new mode lets it. What the mode before has met."""
        met, self.met = self.met, 0
        if "lose" in (mode, self.mode):
            (listening,) = self._server.sockets
            _lose(listening) if mode == "lose" else _find(listening)
        self.mode, self.seconds = mode, seconds
        for writer in list(self.writers) if mode in ("cut", "lose") else ():
            self._end(writer)
        self.well.clear() if mode in ("hold", "mute") else self.well.set()
        return met

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        if self.mode == "cut":
            _reset(writer)
        else:
            _lose(writer.get_extra_info("socket"))
            self.lost.add(writer)
            self.writers.discard(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode in ("cut", "lose"):
            self._end(writer)
            return
        self.writers.add(writer)
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            self.writers.discard(writer)
            _reset(writer)
            return
        if writer in self.lost:  # meanwhile
            self._end(back)
            return
        self.writers.add(back)
        pumps = [
            asyncio.create_task(self._pump(reader, back, answers=False)),
            asyncio.create_task(self._pump(there, writer, answers=True)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for one in {writer, back} - self.lost:
            self.writers.discard(one)
            one.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                while self.mode == "hold" or (self.mode == "mute" and answers):
                    self.met += 1
                    await self.well.wait()
                if self.mode == "slow":
                    self.met += 1
                    await sleep(self.seconds)
                await self._pass(data, sink)

    async def _pass(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        if self.mode == "drip" and len(data) > DRIP_BYTES:
            self.met += 1
        while data and sink not in self.lost:
            size = DRIP_BYTES if self.mode == "drip" else len(data)
            sink.write(data[:size])
            await sink.drain()
            data = data[size:]
            if self.mode == "drip":
                await sleep(DRIP_SECONDS)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _lose(connection: socket.socket) -> None:
    """Whatever is sent to this socket is lost from now on."""
    program = struct.pack("HL", 1, ctypes.addressof(_DROP_ALL))
    connection.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def _find(connection: socket.socket) -> None:
    """It hears again."""
    connection.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


async def serve(links: list[Link]) -> None:
    """Forward, and follow what is said on stdin until it ends."""
    for link in links:
        await link.open()
    by_name = {link.name: link for link in links}
    told = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    _say("ok 0")
    async for line in told:
        asked = orjson.loads(line)
        met = by_name[asked["link"]].change(asked["mode"], asked.get("seconds", 0.0))
        _say(f"ok {met}")


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m testkit.proxy", description=__doc__)
    parser.add_argument("links", nargs="+", metavar="NAME=LISTEN:TARGET")
    links = []
    for text in parser.parse_args().links:
        name, _, ports = text.partition("=")
        listen, _, target = ports.partition(":")
        links.append(Link(name, int(listen), int(target)))
    asyncio.run(serve(links))


class Network:
    """The proxy's process, as a test has it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, links: dict[str, tuple[int, int]]) -> "Network":
        """Links by name: the port to listen on, and the one that it leads to."""
        named = [f"{name}={listen}:{target}" for name, (listen, target) in links.items()]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "testkit.proxy",
            *named,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        network = cls(process)
        await network._heard()
        return network

    async def set(self, link: str, mode: Mode, *, seconds: float = 0.0) -> int:
        """Change a link; returns when it is so: what the mode before has met, connections or pieces of what was sent.

        0 where that mode has done nothing to anybody (and where it was `pass`).
        """
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps({"link": link, "mode": mode, "seconds": seconds}) + b"\n")
        return await self._heard()

    async def stop(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()

    async def _heard(self) -> int:
        assert self._process.stdout is not None
        word, _, met = (await self._process.stdout.readline()).partition(b" ")
        if word != b"ok":
            raise RuntimeError("the proxy has ended")
        return int(met)


if __name__ == "__main__":
    main()
