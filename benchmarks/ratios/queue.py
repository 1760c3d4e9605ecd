"""R11, R14, R18: the queue when much of it is not due, when many share it, when nothing can be vacuumed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from statistics import quantiles
from typing import Final

from chassis.clock import monotonic, sleep, utc_now
from chassis.pool import Conn
from delivery.store import claiming
from devstack.stack import Stack
from rich.console import Console
from testkit.database import vouched

from benchmarks import raw, workload
from benchmarks.arena import BenchmarkFailed, admin_url, database, old_snapshot, until
from benchmarks.figures import Figure, Measured, Round, in_turns, ratio
from benchmarks.sending import WORK_SECONDS_MAX, Sending

MANY: Final = 10_000_000
FEW: Final = 100_000
CLAIM: Final = 500
CLAIMS: Final = 50
MESSAGES: Final = 200_000
MESSAGES_LONG: Final = 1_000_000
LAST_MESSAGES: Final = 200_000
"""What an old snapshot costs grows with what was sent since: the last of many are compared."""
VACUUM_SECONDS: Final = 5
SEQUENCES: Final = 1_000
LATE_SECONDS: Final = 20
FILL_SECONDS_MAX: Final = 20
FIGURES: Final = (
    Figure("R11", "claims with 10 M future rows ÷ with 100 k", 0.9, 1.0),
    Figure("R11b", "sends of 1,000 active sequences ÷ of one", 0.7, 0.9),
    Figure("R14", "sends with an old snapshot held ÷ without", 0.9, 1.0),
    Figure("R18", "lateness at half load, p95", 100, 20, "less", " ms"),
    Figure("R18b", "lateness at half load, p99", 500, 100, "less", " ms"),
)

_LATER: Final = """
insert into delivery.pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane,
    due_active, base_active)
select md5('later' || n)::uuid, $1, 'later-' || n, 1, 1, $3, $4, now + interval '1 day' + n * interval '1 ms', now
from generate_series(1, $2::int) as n, clock_timestamp() as now
"""
_TAKE_AWAY: Final = "delete from delivery.pending where enrollment_id = any($1::uuid[])"
_LATENESS: Final = "select extract(epoch from ended_at - due_at)::float8 from delivery.message"
_LAST_RATE: Final = """
select count(*) / extract(epoch from max(ended_at) - min(ended_at))::float8
from (select ended_at from delivery.message order by ended_at desc limit $1) as last
"""
_BOOKED: Final = "select coalesce(sum(sent), 0) from delivery.books_delta"


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """Each pair in turns."""
    taken: dict[str, list[Round]] = {}
    async with database(stack) as conn:
        await raw.prepare(stack)
        taken["R11"] = await _claims(stack, console, rounds)
        one, many = _sending(stack, conn, ("bench-1",)), _sending(stack, conn, _names(SEQUENCES))
        taken["R11b"] = []
        taken["R14"] = []
        for number in range(rounds):
            taken["R11b"] += await in_turns(number, many.rate, one.rate)
            console.print(f"  R11b: {taken['R11b'][-1].ours:,.0f}/s, of one {taken['R11b'][-1].other:,.0f}")
        long = Sending(stack, conn, workload.contact_ids(MESSAGES_LONG))

        async def held() -> float:
            async with old_snapshot(stack):
                return await _last_rate(long)

        async with _vacuumed_often(conn):
            for number in range(rounds):
                taken["R14"] += await in_turns(number, held, lambda: _last_rate(long))
                console.print(f"  R14: {taken['R14'][-1].ours:,.0f}/s, without {taken['R14'][-1].other:,.0f}")
        taken["R18"], taken["R18b"] = [], []
        for _ in range(rounds):
            half = await one.rate() / 2  # of now: the machine is not as fast in one minute as in another
            p95, p99 = await _lateness(one, half)
            taken["R18"].append(Round(p95, half))
            taken["R18b"].append(Round(p99, half))
            console.print(f"  R18: p95 {p95:.0f} ms, p99 {p99:.0f} ms at {half:,.0f}/s")
    settings = {
        "messages": MESSAGES,
        "messages of R14": MESSAGES_LONG,
        "of them compared, the last": LAST_MESSAGES,
        "claimed at once": CLAIM,
        "processes": one.processes,
    }
    return [Measured(figure, taken[figure.name], "messages a second", settings) for figure in FIGURES]


def _names(count: int) -> Sequence[str]:
    return [f"bench-{number}" for number in range(1, count + 1)]


def _sending(stack: Stack, conn: Conn, sequences: Sequence[str]) -> Sending:
    return Sending(stack, conn, workload.contact_ids(MESSAGES), sequences=sequences)


async def _claims(stack: Stack, console: Console, rounds: int) -> list[Round]:
    """The same claims of what is due in two databases of one server, in turns, each committed; the first round is not
    counted."""
    measured: list[Round] = []
    contacts = workload.contact_ids(CLAIM * CLAIMS * (rounds + 1))
    async with (
        database(stack, schema="delivery") as large,
        database(stack, raw.DATABASE, schema="delivery") as small,
        vouched(admin_url(stack, "sluice"), "delivery"),
        vouched(admin_url(stack, raw.DATABASE), "delivery"),
    ):
        for conn, count in ((large, MANY), (small, FEW)):
            sending = Sending(stack, conn, contacts)
            await sending.publish()
            await sending.fill(due=utc_now() - timedelta(minutes=1))
            await conn.execute(_LATER, sending.sequences[0], count, workload.FIRST_STEP, workload.LANE)
            await sending.turn(opened=True)
            await conn.execute("vacuum analyze delivery.pending")
            await conn.execute("checkpoint")
            console.print(f"  R11: {count:,} rows that are not due")
        for number in range(rounds + 1):
            seconds = [0.0, 0.0]
            for _ in range(CLAIMS):
                for place, conn in enumerate((large, small)):
                    seconds[place] += await _claim(conn)
            if number:
                measured.append(ratio(*[CLAIM * CLAIMS / one for one in seconds]))
                console.print(f"  R11: {measured[-1].ours:,.0f} claimed/s, {measured[-1].other:,.0f}")
        for conn in (large, small):
            await conn.execute("truncate delivery.pending")
    return measured


async def _claim(conn: Conn) -> float:
    """So many seconds for a claim. What it got is taken away then, as bookings do."""
    started = monotonic()
    async with conn.transaction():
        token, _ = await claiming.begin(conn)
        rows = await claiming.claim(conn, {("bench-1", workload.LANE): CLAIM}, token=token, owner="bench")
    seconds = monotonic() - started
    if len(rows) < CLAIM:
        raise BenchmarkFailed(f"a claim got {len(rows)} messages, not {CLAIM}")
    await conn.execute(_TAKE_AWAY, [row.enrollment_id for row in rows])
    return seconds


@asynccontextmanager
async def _vacuumed_often(conn: Conn) -> AsyncIterator[None]:
    """Else, within the minutes that a side takes, nobody would vacuum where nothing stands in the way either."""
    await conn.execute(f"alter system set autovacuum_naptime = '{VACUUM_SECONDS}s'")
    await conn.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        await conn.execute("alter system reset autovacuum_naptime")
        await conn.execute("select pg_reload_conf()")


async def _last_rate(sending: Sending) -> float:
    """Messages a second of the last LAST_MESSAGES that were booked, of all."""
    await sending.rate()
    rate: float = await sending.conn.fetchval(_LAST_RATE, LAST_MESSAGES)
    return rate


async def _lateness(sending: Sending, per_second: float) -> tuple[float, float]:
    """p95 and p99 in milliseconds of what becomes due at an even rate, from due to booked."""
    conn = sending.conn
    count = min(len(sending.contacts), int(per_second * LATE_SECONDS))
    fewer = Sending(sending.stack, conn, sending.contacts[:count])
    async with fewer.prepared(), asyncio.timeout(WORK_SECONDS_MAX):
        due = utc_now() + timedelta(seconds=FILL_SECONDS_MAX)
        await fewer.fill(due=due, every=timedelta(seconds=1 / per_second))
        async with fewer.senders():
            await fewer.turn(opened=True)
            left = (due - utc_now()).total_seconds()
            if left <= 0:
                raise BenchmarkFailed("the queue was not filled before its first message was due")
            await sleep(left + count / per_second)

            async def all_sent() -> bool:
                return int(await conn.fetchval(_BOOKED)) >= count

            await until("every message is sent", all_sent, seconds_max=WORK_SECONDS_MAX)
    waits = [row[0] * 1_000 for row in await conn.fetch(_LATENESS)]
    parts = quantiles(waits, n=100)
    return parts[94], parts[98]
