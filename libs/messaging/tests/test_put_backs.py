"""A service whose database was put back to an earlier moment notices, and is closed until it knows what it said."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import orjson
import pytest
from chassis.pool import Conn
from messaging import Decision, Message, Routes, Tombstone, Tx, opening, positions
from messaging.opening import LEVEL_LOCKS, Closed, Level
from messaging.pipeline import Pipeline
from sluice_contracts import topics
from sluice_contracts.sequences import PauseSequence, SequencePaused
from testkit import put_back

from libs.messaging.tests.bench import NAME, USED, Bench, Recorder, command, everything, see

pytestmark = pytest.mark.stack

TAKE_OVER_SECONDS_MAX: Final = 4.0
"""Senders stop where heartbeats do not count for five seconds."""
OVER: Final = "select exists (select from put_back) and not exists (select from put_back where opened_at is null)"
IS_OPEN: Final = "select not pg_try_advisory_xact_lock_shared($1, hashtext('sequences.open'))"
IS_UNKNOWN: Final = "select pg_try_advisory_xact_lock_shared($1, hashtext('sequences.known'))"
END_LOOKOUT: Final = """
select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and classid::bigint = $1 and granted
"""


@dataclass
class Adopted:
    """What was handed over to be adopted; `fails` so many times, and waits for `go`."""

    said: list[tuple[str, int | None]] = field(default_factory=list)
    fails: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def adopt(self, said: Sequence[Message[SequencePaused] | Tombstone], tx: Tx) -> None:
        self.began.set()
        await self.go.wait()
        self.said += [(one.key, one.data.epoch if isinstance(one, Message) else None) for one in said]
        if self.fails:
            self.fails -= 1
            raise OSError("the connection is lost")


def looking(recorder: Recorder, adopted: Adopted | None = None) -> Routes:
    """Everything, and looks for what it has said."""
    adopted = adopted or Adopted()
    routes = everything(recorder)
    routes.adopt(topics.SEQUENCES_EVENTS, adopted.adopt, SequencePaused)
    routes.adopt(topics.SEQUENCES_ANSWERS)
    return routes


@pytest.fixture
async def alone(bench: Bench) -> Bench:
    """A schema that knows all that other tests have said on its topics."""
    ends = {(at.topic, at.partition): offset for at, offset in bench.since.items() if at.topic in USED}
    async with bench.pool.acquire() as conn:
        await positions.move(conn, ends)
    return bench


async def lose(bench: Bench, routes: Routes) -> None:
    """Have a command accepted and announced, and put the database back to before."""
    await put_back.take(bench.servers.admin_url, NAME)
    async with bench.service(routes):
        await bench.send(command("a", "c1", reason="announce"))
        await bench.settled(2)
    await put_back.restore(bench.servers.admin_url, NAME)
    await bench.pool.expire_connections()


async def test_what_is_published_is_known_in_the_transaction_that_forgets_it(alone: Bench) -> None:
    async with alone.service(looking(Recorder())):
        await alone.send(command("a", "c1", reason="announce"), command("b", "c2"))
        await alone.settled(3)
    answers = await alone.read(topics.SEQUENCES_ANSWERS, 2)

    async with alone.pool.acquire() as conn:
        known = await positions.load(conn)
    assert all(known[one.topic, one.partition] > one.offset for one in answers)


async def test_what_was_published_and_not_yet_forgotten_is_no_put_back(alone: Bench) -> None:
    async with alone.pool.acquire() as conn:
        before = await positions.load(conn)
    async with alone.service(looking(Recorder())):
        await alone.send(command("a", "c1", reason="announce"))
        await alone.settled(2)
    events = await alone.read(topics.SEQUENCES_EVENTS, 1) + await alone.read(topics.SEQUENCES_ANSWERS, 1)
    await alone.pool.execute("delete from said")
    async with alone.pool.acquire() as conn:
        await positions.move(conn, before)
        for one in events:
            await conn.execute(
                "insert into outbox (lane, topic, key, value) values (0, $1, $2, $3)", one.topic, one.key, one.value
            )

    async with alone.service(looking(Recorder())):
        await alone.send(command("b", "c2"))
        await alone.settled(3)

    assert not await alone.pool.fetchval("select count(*) from put_back")


async def test_a_put_back_is_noticed_and_what_was_said_is_adopted(alone: Bench) -> None:
    recorder, adopted = Recorder(), Adopted()
    adopted.go.set()
    await lose(alone, looking(Recorder()))

    async with alone.service(looking(recorder, adopted)):
        await alone.until(OVER)
        await alone.send(command("b", "c2"))
        await alone.until("select exists (select from effect where record = 'c2')")

    assert adopted.said == [("a", 3)]
    assert ("a", "c1") not in recorder.seen, "its answer was adopted: it is not handled again"
    first, again, *_ = await alone.read(topics.SEQUENCES_ANSWERS, 3)
    assert (first.key, first.value) == (again.key, again.value)


async def test_a_schema_that_is_empty_knows_nothing_of_what_it_has_said(alone: Bench) -> None:
    adopted = Adopted()
    adopted.go.set()
    async with alone.service(looking(Recorder())):
        await alone.send(command("a", "c1", reason="announce"))
        await alone.settled(2)
    await alone.pool.execute("delete from said")

    async with alone.service(looking(Recorder(), adopted)):
        await alone.until(OVER)

    assert ("a", 3) in adopted.said


async def test_where_positions_were_not_kept_before_the_first_look_begins_at_the_ends(alone: Bench) -> None:
    async with alone.service(looking(Recorder())):
        await alone.send(command("a", "c1", reason="announce"))
        await alone.settled(2)
    await alone.pool.execute("delete from said")
    await alone.pool.execute("insert into said_before values (now())")

    async with alone.service(looking(Recorder())):
        await alone.send(command("b", "c2"))
        await alone.settled(3)

    assert not await alone.pool.fetchval("select count(*) from put_back")
    assert not await alone.pool.fetchval("select count(*) from said_before")


async def test_a_crash_before_the_ends_are_kept_leaves_them_to_the_next_look(
    alone: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alone.service(looking(Recorder())):
        await alone.send(command("a", "c1", reason="announce"))
        await alone.settled(2)
    await alone.pool.execute("delete from said")
    await alone.pool.execute("insert into said_before values (now())")
    move, failures = positions.move, [OSError("the connection is lost")]

    async def fails_once(conn: Conn, upto: Mapping[positions.Place, int]) -> None:
        if failures:
            raise failures.pop()
        await move(conn, upto)

    monkeypatch.setattr(positions, "move", fails_once)
    async with alone.service(looking(Recorder())):
        await alone.send(command("b", "c2"))
        await alone.settled(3)

    assert not failures
    assert not await alone.pool.fetchval("select count(*) from put_back")


async def test_nothing_is_taken_in_or_published_or_vouched_for_before_it_is_adopted(alone: Bench) -> None:
    recorder, adopted = Recorder(), Adopted()
    await lose(alone, looking(Recorder()))
    await alone.pool.execute("insert into outbox (lane, topic, key, value) values (1, $1, 'k', '')", NAME + ".control")

    async with alone.service(looking(recorder, adopted)) as service:
        await asyncio.wait_for(adopted.began.wait(), 30)
        await alone.send(command("b", "c2"))
        with pytest.raises(Closed):
            async with service.begin():
                pytest.fail("it is closed")
        assert not recorder.seen
        assert not await alone.pool.fetchval("select coalesce(max(beat), 0) from consumer_offset")
        assert await alone.pool.fetchval("select count(*) from outbox") == 1
        adopted.go.set()
        await alone.until("select exists (select from effect where record = 'c2')")


async def test_what_interrupts_an_adoption_has_it_done_again_wholly(alone: Bench) -> None:
    adopted = Adopted(fails=1)
    adopted.go.set()
    await lose(alone, looking(Recorder()))

    async with alone.service(looking(Recorder(), adopted)):
        await alone.until(OVER)

    assert adopted.said == [("a", 3), ("a", 3)]
    assert await alone.pool.fetchval("select count(*) from put_back") == 1


async def test_commands_wait_until_all_else_is_heard_as_far_as_it_went(alone: Bench) -> None:
    recorder, adopted = Recorder(), Adopted()
    adopted.go.set()
    await lose(alone, looking(Recorder()))
    await alone.send(command("b", "c2"))

    async with alone.service(looking(recorder, adopted)):
        await alone.until("select exists (select from effect where record = 'c2')")

    (event,) = await alone.read(topics.SEQUENCES_EVENTS, 1)
    assert recorder.seen == [("a", orjson.loads(event.value)["id"]), ("b", "c2")]


async def test_a_command_whose_effect_was_lost_is_done_again_under_the_answer_it_had(alone: Bench) -> None:
    recorder = Recorder()
    adopted = Adopted()
    adopted.go.set()

    async def lost(_: Conn, asked: Mapping[str, tuple[Message[PauseSequence], Mapping[str, Any]]]) -> Set[str]:
        return {identity for identity, (_, result) in asked.items() if result == {"epoch": 1}}

    routes = looking(recorder, adopted)
    routes.undone(topics.SEQUENCES_COMMANDS, lost)
    recorder._decide = lambda _: Decision(result={"epoch": 77})  # type: ignore[assignment, method-assign]
    await lose(alone, looking(Recorder()))

    async with alone.service(routes):
        await alone.until("select exists (select from effect where record = 'c1')")
        await alone.send(command("a", "c1", reason="announce"))
        answers = await alone.read(topics.SEQUENCES_ANSWERS, 3)

    assert len({one.value for one in answers}) == 1
    assert recorder.seen.count(("a", "c1")) == 1


async def test_a_look_counts_only_while_the_session_that_made_it_lives(alone: Bench) -> None:
    async with alone.service(looking(Recorder())):
        await alone.until(IS_OPEN, LEVEL_LOCKS)
        async with alone.pool.acquire() as conn:
            before = await opening.is_held(conn, Level.OPEN)
        ended = await _as_admin(alone, END_LOOKOUT, LEVEL_LOCKS)
        async with alone.pool.acquire() as conn:
            after = await opening.is_held(conn, Level.OPEN)
        await alone.until(IS_OPEN, LEVEL_LOCKS, seconds_max=TAKE_OVER_SECONDS_MAX)

    assert (before, bool(ended), after) == (True, True, False)
    await alone.until(IS_UNKNOWN, LEVEL_LOCKS)  # the server ends the session in its own time


async def test_another_process_takes_over_the_look(alone: Bench) -> None:
    recorder = Recorder()
    async with alone.service(looking(recorder)):
        async with alone.service(looking(Recorder())):
            await alone.until(IS_OPEN, LEVEL_LOCKS)
        await alone.until(IS_OPEN, LEVEL_LOCKS, seconds_max=TAKE_OVER_SECONDS_MAX)
        await alone.send(command("a", "c1"))
        await see(lambda: ("a", "c1") in recorder.seen)


async def test_rows_that_are_put_back_under_a_session_that_lives_are_noticed(alone: Bench) -> None:
    adopted = Adopted()
    adopted.go.set()
    async with alone.service(looking(Recorder(), adopted)):
        await alone.send(command("a", "c1", reason="announce"))
        await alone.settled(2)
        await alone.pool.execute("delete from said")
        await alone.until(OVER)

    assert ("a", 3) in adopted.said


async def test_who_has_nobody_to_vouch_for_it_is_closed(alone: Bench) -> None:
    with pytest.raises(Closed):
        async with Pipeline(NAME, NAME, alone.pool, guarded=True).begin():
            pytest.fail("nobody has looked")


async def _as_admin(bench: Bench, sql: str, *arguments: Any) -> Any:

    admin = await asyncpg.connect(bench.servers.admin_url)
    try:
        return await admin.fetchval(sql, *arguments)
    finally:
        await admin.close()
