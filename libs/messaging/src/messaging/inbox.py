"""What has been handled already, and how commands were answered."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from chassis.pool import Conn

from messaging.ids import derive
from messaging.model import Cause

_REMEMBER: Final = """
with new as (
    insert into inbox (message) select unnest($1::uuid[]) on conflict (message) do nothing returning message
)
select given.message::text from unnest($1::uuid[]) as given (message)
where not exists (select from new where new.message = given.message)
"""

_SEEN: Final = "select message::text, answer, adopted from inbox where message = any($1::uuid[])"

_RECORD: Final = """
insert into inbox (message, answer) select message, answer from unnest($1::uuid[], $2::bytea[]) as row (message, answer)
"""

_ANSWER: Final = """
with kept as (update inbox set answer = $2 where message = $1 and answer is null returning true)
select exists (select from kept) or not exists (select from inbox where message = $1)
"""

# One that waits for its answer has it now.
_ADOPT: Final = """
insert into inbox as known (message, answer, adopted)
select distinct on (message) message, answer, true from unnest($1::uuid[], $2::bytea[]) as said (message, answer)
on conflict (message) do update set answer = excluded.answer, adopted = true where known.answer is null
"""

_REOPEN: Final = "delete from inbox where message = any($1::uuid[]) and adopted"

_FORGET: Final = """
delete from inbox where ctid = any(array(
    select ctid from inbox where received_at < clock_timestamp() - $1::interval limit $2
))
"""


def identity(cause: Cause) -> str:
    """A record's (source, id), as one id."""
    return derive(cause.source, cause.id)


async def remember(conn: Conn, messages: Sequence[str]) -> set[str]:
    """Mark messages, no two the same, as handled by this transaction; those that were handled before come back."""
    return {row[0] for row in await conn.fetch(_REMEMBER, messages)}


class Seen(NamedTuple):
    """A command that was handled before."""

    answer: bytes | None
    """None where it still waits for one."""
    adopted: bool
    """The answer was read back from its topic: what the command did may be lost."""


async def seen(conn: Conn, messages: Sequence[str]) -> dict[str, Seen]:
    """Commands handled before."""
    return {row[0]: Seen(row[1], row[2]) for row in await conn.fetch(_SEEN, messages)}


async def adopt(conn: Conn, answers: Mapping[str, bytes]) -> None:
    """Keep answers that were read back from their topic."""
    await conn.execute(_ADOPT, list(answers), list(answers.values()))


async def reopen(conn: Conn, messages: Sequence[str]) -> None:
    """Have commands handled again whose answers were adopted."""
    await conn.execute(_REOPEN, messages)


async def record(conn: Conn, answers: Mapping[str, bytes | None]) -> None:
    """Mark commands as handled, each with its answer; a unique violation where another reader was faster."""
    await conn.execute(_RECORD, list(answers), list(answers.values()))


async def answer(conn: Conn, message: str, value: bytes) -> bool:
    """Keep the answer of a command that had waited for it; False where it has one already."""
    return bool(await conn.fetchval(_ANSWER, message, value))


async def forget(conn: Conn, *, older_than: timedelta, limit: int) -> int:
    """Drop what is older than every topic that could repeat it; how many rows went."""
    status = await conn.execute(_FORGET, older_than, limit)
    return int(status.rsplit(" ", 1)[1])
