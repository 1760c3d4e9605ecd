"""What questions have in common: a snapshot to read in, ids, limits and errors in one sentence."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Final

from chassis.pool import Conn
from fastapi import Depends, Path, Query, Request
from sluice_contracts.base import ID_PATTERN

Reading = Callable[[], AbstractAsyncContextManager[Conn]]
"""Opens a transaction that reads one snapshot."""

LIMIT_MAX: Final = 500
CURSOR_LENGTH_MAX: Final = 256


async def snapshot(request: Request) -> AsyncIterator[Conn]:
    """A connection in a transaction that writes nothing."""
    async with request.app.state.reading() as conn:
        yield conn


Snapshot = Annotated[Conn, Depends(snapshot, scope="function")]
SequenceId = Annotated[str, Path(pattern=ID_PATTERN)]
ContactId = Annotated[str, Path(pattern=ID_PATTERN)]
After = Annotated[str | None, Query(max_length=CURSOR_LENGTH_MAX, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
