"""A pool whose next transaction may be the last that its process sees."""

from enum import Enum
from types import TracebackType
from typing import Any, Final

import asyncpg
from chassis.pool import Pool

_WROTE: Final = "select pg_current_xact_id_if_assigned() is not null"


class Killed(BaseException):
    """The process is gone. No code of a service may catch it."""


class Fate(Enum):
    """How a transaction ends."""

    KILLED_BEFORE_COMMIT = "killed before the commit"
    KILLED_AFTER_COMMIT = "killed after the commit"
    ANSWER_LOST = "its commit's answer is lost"
    """The connection breaks: the process lives, and does not know whether it was committed."""


class FragilePool:
    """A pool as services use it. `fate` befalls the next transaction, once; `wrote`: whether one has changed rows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.fate: Fate | None = None
        self.wrote = False

    def acquire(self) -> "_Acquired":
        """A connection, for as long as the context lasts."""
        return _Acquired(self)


class _Acquired:
    def __init__(self, fragile: FragilePool) -> None:
        self._fragile = fragile
        self._context = fragile._pool.acquire()

    async def __aenter__(self) -> "_Connection":
        return _Connection(await self._context.__aenter__(), self._fragile)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._context.__aexit__(kind, error, trace)


class _Connection:
    def __init__(self, conn: Any, fragile: FragilePool) -> None:
        self._conn = conn
        self._fragile = fragile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)

    def transaction(self, **options: Any) -> "_Transaction":
        return _Transaction(self._conn, self._conn.transaction(**options), self._fragile)


class _Transaction:
    def __init__(self, conn: Any, transaction: Any, fragile: FragilePool) -> None:
        self._conn = conn
        self._transaction = transaction
        self._fragile = fragile

    async def __aenter__(self) -> None:
        await self._transaction.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fate = None if kind is not None else self._fragile.fate
        if kind is None and fate is not Fate.KILLED_BEFORE_COMMIT and await self._conn.fetchval(_WROTE):
            self._fragile.wrote = True
        if fate is None:
            await self._transaction.__aexit__(kind, error, trace)
            return
        self._fragile.fate = None
        if fate is Fate.KILLED_BEFORE_COMMIT:
            killed = Killed(fate.value)
            await self._transaction.__aexit__(Killed, killed, None)
            raise killed
        await self._transaction.__aexit__(None, None, None)
        if fate is Fate.ANSWER_LOST:
            raise asyncpg.ConnectionDoesNotExistError(fate.value)
        raise Killed(fate.value)
