"""Postgres: away, short of everything, in the way."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
from chassis.clock import monotonic, sleep
from testkit import breaking
from testkit.checker.history import History
from testkit.database import sluice_url

from tests.faults.scene import Play, Scene
from tests.faults.stage import Connection

HELD_SECONDS: Final = 4.0
LOST_SECONDS: Final = 4.0
LONG_SECONDS: Final = 600.0
CANCELS: Final = 12
TERMINATIONS: Final = 8
STATEMENT_SECONDS_MAX: Final = 10.0
LOOK_SECONDS: Final = 0.002
"""Statements are short, and rare where there is little to do: one is met only by who looks often."""
_CANCEL: Final = (
    "select count(*) filter (where pg_cancel_backend(pid)) from pg_stat_activity "
    f"where application_name in {breaking.APPLICATIONS} and state = 'active'"
)


async def restarted(play: Play) -> None:
    """A fast shutdown, and back."""
    await play.stage.restart("postgres", number=signal.SIGINT)


async def killed(play: Play) -> None:
    """kill -9 of the server, which recovers from its log."""
    await play.stage.restart("postgres", number=signal.SIGKILL)


async def terminated(play: Play) -> None:
    """Every backend of the services is ended, again and again."""
    ended = []
    for _ in range(TERMINATIONS):
        ended.append(await play.stage.end_sessions())
        await sleep(0.5)
    play.stage.told.append(f"{sum(ended)} sessions ended")
    assert all(ended), "there was no session to end"


async def exhausted(play: Play) -> None:
    """No connection is left, and those that there were are gone."""
    held: list[Connection] = []
    url = sluice_url(play.stage.stack.addresses.postgres_admin_url)
    try:
        deadline = monotonic() + STATEMENT_SECONDS_MAX
        while await _all_taken(held, url) and await play.stage.end_sessions():  # whoever comes first has it
            assert monotonic() < deadline, "the services have connections all the time"
        await sleep(HELD_SECONDS)
        left = await play.stage.sessions()
        assert left == 0, f"the services had {left} connections"
    finally:
        await asyncio.gather(*(one.close() for one in held))


async def _all_taken(held: list[Connection], url: str) -> bool:
    """Take every connection that there is."""
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            held.append(await asyncpg.connect(url))
    return True


async def locked(play: Play) -> None:
    """Somebody holds the tables that everything needs, while locks are given up after 300 ms."""
    conn = play.stage.conn
    for role in ("delivery_app", "enrollment_app", "sequences_app"):
        await conn.execute(f"alter role {role} set lock_timeout = '300ms'")
    await play.stage.end_sessions()
    said = play.stage.stack.layout.log("postgres").stat().st_size
    try:
        for table in ("delivery.pending", "enrollment.enrollment", "delivery.gate", "sequences.sequence"):
            async with conn.transaction():
                await conn.execute(f"lock table {table} in access exclusive mode")
                await sleep(HELD_SECONDS / 4)
    finally:
        for role in ("delivery_app", "enrollment_app", "sequences_app"):
            await conn.execute(f"alter role {role} reset lock_timeout")
        await play.stage.end_sessions()
    with play.stage.stack.layout.log("postgres").open("rb") as log:
        log.seek(said)
        given_up = log.read().count(b"due to lock timeout")
    play.stage.told.append(f"{given_up} locks given up")
    assert given_up, "no statement waited for a lock"


def snapshot(seconds: float) -> Callable[[Play], Awaitable[None]]:
    """A report holds its snapshot for so long: nothing that is done meanwhile can be vacuumed away."""

    async def fault(play: Play) -> None:
        async with play.stage.conn.transaction(isolation="repeatable_read"):
            await play.stage.conn.fetchval("select count(*) from delivery.pending")
            await sleep(seconds)

    return fault


def put_back(service: str) -> Callable[[Play], Awaitable[None]]:
    """One service's database is at an earlier moment at once, and its processes start on it."""

    async def fault(play: Play) -> None:
        await play.stage.put_back(service, seconds=LOST_SECONDS)

    return fault


def noticed(history: History) -> bool:
    """Whether the service took notice, and opened again: where nothing was lost, nothing is shown.

    The console, which has said nothing of its own, looks for nothing.
    """
    return all(one.opened_at is not None or one.service == "console" for one in history.run.put_backs)


async def cancelled(play: Play) -> None:
    """Statements are cancelled as a time-out does it, in the middle: whatever is under way at some moments.

    TimeoutError where nothing is for STATEMENT_SECONDS_MAX.
    """
    count = 0
    for _ in range(CANCELS):
        deadline = monotonic() + STATEMENT_SECONDS_MAX
        while not (hit := await play.stage.conn.fetchval(_CANCEL)):
            if monotonic() > deadline:
                raise TimeoutError(f"no statement was under way for {STATEMENT_SECONDS_MAX:.0f} s")
            await sleep(LOOK_SECONDS)
        count += hit
        await sleep(0.3)
    play.stage.told.append(f"{count} backends told to cancel")


async def disk_full(play: Play) -> None:
    """Not a byte is left for the database, which ends; then there is room again."""
    ballast = play.stage.stack.layout.postgres / "ballast"
    await asyncio.to_thread(_fill, ballast)
    await sleep(HELD_SECONDS)
    try:
        await play.stage.conn.execute("create table public.no_room as select n from generate_series(1, 100000) as n")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        play.stage.told.append(type(error).__name__)
    else:
        raise AssertionError("there was room on the disk")
    await asyncio.to_thread(ballast.unlink)
    await play.stage.ready("postgres")


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(64 * 1024))


SCENES: Final = (
    Scene("postgres-restart", "Postgres is restarted", restarted),
    Scene("postgres-killed", "kill -9 of Postgres, which recovers", killed, load_seconds=10.0),
    Scene("backends-terminated", "every backend of the services is terminated, eight times", terminated),
    Scene("statements-cancelled", "statements are cancelled in the middle", cancelled),
    Scene("connections-exhausted", "no connection is left for 4 s", exhausted),
    Scene(
        "lock-timeouts",
        "tables are locked for seconds, locks are given up after 300 ms",
        locked,
        booking_lag_seconds=3.0,
    ),
    Scene("old-snapshot", "a report holds a snapshot for 9 s, most of the run", snapshot(9.0), load_seconds=11.0),
    Scene(
        "old-snapshot-long",
        f"a report holds a snapshot for {LONG_SECONDS:.0f} s, under a tenth of the load",
        snapshot(LONG_SECONDS),
        load_seconds=LONG_SECONDS,
        pace=0.1,
    ),
    *(
        Scene(
            f"put-back-{service}",
            f"the database of {service} is put back by {LOST_SECONDS:.0f} s, under load",
            put_back(service),
            load_seconds=12.0,
            shows=noticed,
        )
        for service in ("sequences", "enrollment", "delivery", "console")
    ),
    Scene("disk-full", "the database's disk is full for 4 s", disk_full, load_seconds=12.0, small_disk=True),
)
