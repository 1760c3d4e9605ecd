"""The stack that a benchmark runs on: its own, in a temporary folder, with null channels, gone at the end."""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from chassis import logging
from chassis.clock import monotonic, sleep
from chassis.pool import Conn
from devstack.errors import StackError
from devstack.layout import repository
from devstack.progress import Progress
from devstack.stack import Stack
from rich.console import Console
from sluice import SluiceError

NULL_CHANNELS: Final = {"SLUICE_NULL_CHANNELS": "true"}
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
WIDTH: Final = 160


class BenchmarkFailed(Exception):
    """What was waited for did not come about; the sentence says what."""


class _Shown(Progress):
    """What the stack says while it starts, on the benchmark's console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def say(self, line: str) -> None:
        self._console.print(f"  [dim]{line}[/dim]")

    def part(self, what: str, *, done: int, total: int) -> None:
        pass


def run(
    name: str,
    console: Console,
    measure: Callable[[Stack], Coroutine[Any, Any, bool]],
    *,
    env: Mapping[str, str] = MappingProxyType({}),
    without: Sequence[str] = (),
    services: bool = True,
) -> int:
    """Start a stack without senders, measure on it, and take it away, whatever happens; the exit code.

    `services` False: Kafka and Postgres, with topics and schemas, and nobody who uses them.
    """
    # asyncio takes this for SIGINT as a request to end in order; in a background job it would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    logging.configure("benchmark", "warning")
    try:
        with _stack(name, console, env, without, services) as stack:
            return 0 if asyncio.run(measure(stack)) else EXIT_FAILED
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is stopped and deleted")
        return EXIT_INTERRUPTED
    except (BenchmarkFailed, StackError, SluiceError) as error:
        console.print(f"[red]error:[/red] {error}")
        return EXIT_FAILED
    except Exception:  # whatever it is: what was measured before it is kept, and the next is measured
        console.print_exception(max_frames=6, extra_lines=1)
        return EXIT_FAILED


@contextmanager
def _stack(
    name: str, console: Console, env: Mapping[str, str], without: Sequence[str], services: bool
) -> Iterator[Stack]:
    root = Path(tempfile.mkdtemp(prefix=f"sluice-{name}-"))
    stack = Stack.at(root)
    try:
        console.print(f"[bold]A stack of its own in {root}[/bold]")
        stack.start(
            services=services,
            prepare=True,
            senders=0,
            env=NULL_CHANNELS | dict(env),
            without=without,
            progress=_Shown(console),
            attached=True,
        )
        yield stack
    finally:
        with _undisturbed():
            stack.reset()
            shutil.rmtree(root, ignore_errors=True)


def terminal() -> Console:
    """Where progress and tables go; what is no terminal gets lines as wide as a table needs."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not leave half of it behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@asynccontextmanager
async def database(stack: Stack, name: str = "sluice", *, schema: str = "public") -> AsyncIterator[Conn]:
    """A superuser's connection to a database of the stack's server."""
    conn = await asyncpg.connect(
        admin_url(stack, name), server_settings={"search_path": schema, "timezone": "UTC", "jit": "off"}
    )
    try:
        yield conn
    finally:
        await conn.close()


@asynccontextmanager
async def old_snapshot(stack: Stack) -> AsyncIterator[None]:
    """Somebody's transaction that sees everything as it was, so that nothing of it can be cleared away."""
    async with database(stack) as holder, holder.transaction(isolation="repeatable_read"):
        await holder.fetchval("select count(*) from pg_class")  # no table of ours: it would be locked for the filling
        yield


def admin_url(stack: Stack, name: str) -> str:
    """Where the superuser logs in to that database."""
    return urlunsplit(urlsplit(stack.addresses.postgres_admin_url)._replace(path=f"/{name}"))


def migrations_of(stack: Stack, service: str) -> list[Path]:
    """The migrations of a service's schema, in their order."""
    checkout = repository(stack.layout.root)
    return [
        checkout / "libs" / "messaging" / "src" / "messaging" / "migrations",
        checkout / "services" / service / "migrations",
    ]


async def scale(stack: Stack, senders: int) -> None:
    """Have this many senders, ready or gone."""
    await asyncio.to_thread(stack.scale_senders, senders)


async def until(
    what: str, reached: Callable[[], Coroutine[Any, Any, bool]], *, seconds_max: float, poll_seconds: float = 0.1
) -> None:
    """Wait for what the database shows; BenchmarkFailed says what did not come about."""
    started = monotonic()
    while not await reached():
        if monotonic() - started > seconds_max:
            raise BenchmarkFailed(f"{what}: not within {seconds_max:.0f} s")
        await sleep(poll_seconds)
