"""Connections to Postgres: one pool per process, one way to tell an outage from a fault in the data."""

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from chassis.logging import safe_text
from chassis.settings import ServiceSettings

if TYPE_CHECKING:
    Conn: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Conn = asyncpg.Connection | PoolConnectionProxy
    Pool = asyncpg.Pool

__all__ = [
    "Conn",
    "DatabaseUnreachable",
    "Pool",
    "connection_settings",
    "create_pool",
    "is_transient",
    "reaching",
    "session",
]

COMMAND_SECONDS_MAX: Final = 30.0
CONNECT_SECONDS_MAX: Final = 10.0
IDLE_IN_TRANSACTION_SECONDS_MAX: Final = 2.0
UNHEARD_SECONDS_MAX: Final = 10
"""A connection whose other end acknowledges nothing for so long is over, at both ends."""
PROBE_SECONDS: Final = 2
"""How long a connection is silent before the kernel asks the other end, and between its questions."""

TRANSIENT_CLASSES: Final = frozenset({"08", "53", "58"})
"""Connection lost, resources short, a system error under the server."""
TRANSIENT_STATES: Final = frozenset(
    {
        "25006",  # read-only: a failover left us on the standby
        "25P03",  # idle in a transaction for too long
        "40001",  # serialization failure
        "40003",  # nobody knows whether the statement completed
        "40P01",  # deadlock
        "55P03",  # lock not available in time
        "57014",  # cancelled, by `statement_timeout` among others
        "57P01",  # the server is shutting down
        "57P02",  # … crashed
        "57P03",  # … starting up
        "57P04",  # … has dropped the database
        "57P05",  # … closed an idle session
    }
)


class DatabaseUnreachable(Exception):
    """The first session with Postgres could not be had; the text says where and why, and holds no password."""


def connection_settings(schema: str, application: str) -> dict[str, str]:
    """What every session of a service runs under.

    A process that is frozen inside a transaction keeps its row locks; the server ends that transaction after two
    seconds. A process that cannot be reached any more would keep what its session has locked, a relay's place among
    others, for two hours by TCP's defaults; the server ends that session after UNHEARD_SECONDS_MAX. The schema comes
    before the system's own names, so that a test can put its own clock there; no role of a service may make a function
    in it. Sessions speak UTC, and the planner's compiler is off: it costs more than short statements take.

    Statements go by an index wherever there is one. Else a plan that was made while a queue was empty, and is kept,
    would walk through all of it once it is full (decision 36).
    """
    return {
        "search_path": f"{schema}, pg_catalog",
        "application_name": application,
        "timezone": "UTC",
        "jit": "off",
        "enable_seqscan": "off",
        "statement_timeout": str(int(COMMAND_SECONDS_MAX * 1000)),
        "idle_in_transaction_session_timeout": str(int(IDLE_IN_TRANSACTION_SECONDS_MAX * 1000)),
        "tcp_keepalives_idle": str(PROBE_SECONDS),
        "tcp_keepalives_interval": str(PROBE_SECONDS),
        "tcp_user_timeout": str(UNHEARD_SECONDS_MAX * 1000),
    }


async def create_pool(settings: ServiceSettings, *, schema: str, application: str | None = None) -> Pool:
    """Open the pool of a process on its schema; the caller closes it. `jsonb` travels as text.

    Whoever sets what outlives a transaction (a lock of a session, a listener) takes its connection with `session`: a
    connection that is given back is not reset, for that is a round trip with every claim and every look.

    Raises `DatabaseUnreachable` where the database cannot be reached or refuses the role.
    """
    url = settings.database_url.get_secret_value()
    with reaching(url):
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=settings.database_pool_max,
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=COMMAND_SECONDS_MAX,
            init=_mind_silence,
            reset=_keep,
            server_settings=connection_settings(schema, application or schema),
        )


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Have the first connection to that database raise `DatabaseUnreachable` where there is none to be had."""
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        address, reason = urlsplit(url).netloc.rpartition("@")[2], safe_text(error) or type(error).__name__
        raise DatabaseUnreachable(
            f"no session with Postgres at {address}: {reason}. Does it run, and is the URL in the settings right?"
        ) from error


async def _mind_silence(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Our end's share of UNHEARD_SECONDS_MAX: a statement that timed out waits as long again for its cancellation."""
    connection = conn._transport.get_extra_info("socket")  # type: ignore[attr-defined] # asyncpg has no setting for it
    if sys.platform == "linux" and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_SECONDS_MAX * 1000)


async def _keep(conn: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing of a session is to be undone."""


@asynccontextmanager
async def session(pool: Pool) -> AsyncIterator[Conn]:
    """A connection whose session may hold locks and listen; with the end of the block it does so no more."""
    async with pool.acquire() as conn:
        try:
            yield conn
        finally:
            if not _is_over(conn):
                await conn.reset()


def _is_over(conn: Conn) -> bool:
    """The pool takes back at once what is lost, and then nothing may be asked of it: whatever ended the block stays."""
    try:
        return conn.is_closed()
    except asyncpg.InterfaceError:
        return True


def is_transient(error: BaseException) -> bool:
    """True where the reason lies outside the data, so that the same again may succeed, on a new connection.

    Told by type and SQLSTATE, never by text. A plain `InterfaceError` is what asyncpg raises on a connection that is
    closed or still busy with a cancelled statement: drop that connection.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_transient(member) for member in error.exceptions)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in TRANSIENT_CLASSES or state in TRANSIENT_STATES
    # Exactly this type: its subclasses say that the query or its input is wrong.
    return type(error) is asyncpg.InterfaceError or isinstance(error, (asyncpg.InternalClientError, OSError))
