"""What is said in a transaction is published once it has committed: in order, once per id, bulk never before urgent."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from chassis.clock import monotonic
from chassis.health import Health
from messaging import Cause, derive, outbox
from messaging.outbox import BULK, URGENT, Outgoing
from messaging.relay import Relay
from prometheus_client import CollectorRegistry
from sluice_contracts import topics
from sluice_contracts.sequences import SequencePaused

from libs.messaging.tests.bench import NAME, STATE, Bench, Recorder, command, commands_only

pytestmark = pytest.mark.stack

CAUSE = Cause(source="test", id="cause", type="PauseSequence.v1")
PATH = {"search_path": NAME}
WALKED = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relid = 'outbox'::regclass"
OWNED = "select count(*) = 2 from pg_locks where locktype = 'advisory' and classid = 20736 and granted"
LOCKED = "select pid from pg_locks where locktype = 'advisory' and classid = 20736 and granted"


def bulk(number: int, *, key: str = "k") -> Outgoing:
    return Outgoing(topics.DELIVERY_EVENTS, key.encode(), b'{"n": %d}' % number)


async def write(bench: Bench, *rows: Outgoing) -> None:
    async with bench.pool.acquire() as conn:
        await outbox.write(conn, rows)


async def test_what_is_said_in_a_transaction_that_fails_is_never_published(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())) as service:
        with suppress(ZeroDivisionError):
            async with service.begin() as tx:
                tx.say(SequencePaused(**STATE | {"sequence_id": "no"}), CAUSE)
                raise ZeroDivisionError
        async with service.begin() as tx:
            tx.say(SequencePaused(**STATE | {"sequence_id": "yes"}), CAUSE)
        (said,) = await bench.read(topics.SEQUENCES_EVENTS, 1)

    assert said.key == b"yes"


async def test_the_order_of_each_key_is_the_order_in_which_it_was_said(bench: Bench) -> None:
    rows = [bulk(n, key=f"k{n % 7}") for n in range(7_000)]
    await write(bench, *rows)
    async with bench.service(commands_only(Recorder())):
        found = await bench.read(topics.DELIVERY_EVENTS, 7_000)

    by_key: dict[bytes, list[int]] = {}
    for record in found:
        by_key.setdefault(record.key, []).append(orjson.loads(record.value)["n"])
    assert by_key == {f"k{k}".encode(): list(range(k, 7_000, 7)) for k in range(7)}


async def test_a_lower_number_that_commits_later_is_published_all_the_same(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())):
        slow = await asyncpg.connect(bench.servers.urls[NAME], server_settings=PATH)
        transaction = slow.transaction()
        await transaction.start()
        await outbox.write(slow, [bulk(1, key="slow")])
        await write(bench, bulk(2, key="fast"))
        (first,) = await bench.read(topics.DELIVERY_EVENTS, 1)
        await transaction.commit()
        await slow.close()
        found = await bench.read(topics.DELIVERY_EVENTS, 2)

    assert first.key == b"fast"
    assert {record.key for record in found} == {b"fast", b"slow"}


async def test_a_record_that_commits_late_is_not_passed_by_the_next_one_of_its_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = await asyncpg.connect(bench.servers.urls[NAME], server_settings=PATH)
    transaction = slow.transaction()
    await transaction.start()
    await outbox.write(slow, [bulk(1, key="slow")])
    await write(bench, *(bulk(n, key=f"k{n}") for n in range(5_000)))
    read, reads = outbox.read, 0

    async def meanwhile(conn: Any, lane: int, **bounds: Any) -> Any:
        nonlocal reads
        if lane == BULK:
            reads += 1
            if reads == 2:
                await transaction.commit()
                await write(bench, bulk(2, key="slow"))
        return await read(conn, lane, **bounds)

    monkeypatch.setattr("messaging.outbox.read", meanwhile)
    async with bench.service(commands_only(Recorder())):
        found = await bench.read(topics.DELIVERY_EVENTS, 5_002)
    await slow.close()

    assert [orjson.loads(record.value)["n"] for record in found if record.key == b"slow"] == [1, 2]


async def test_the_order_of_each_key_is_kept_while_transactions_of_every_length_come_and_go(bench: Bench) -> None:
    said: dict[int, list[int]] = {key: [] for key in range(6)}
    owner = await asyncpg.create_pool(bench.servers.urls[NAME], min_size=8, max_size=8, server_settings=PATH)

    async def writer(number: int) -> None:
        chance = random.Random(number)
        for _ in range(80):
            key = chance.randrange(len(said))
            async with owner.acquire() as conn:
                transaction = conn.transaction()
                await transaction.start()
                await conn.execute("select pg_advisory_xact_lock(77, $1)", key)  # as a key's writers hold a lock
                await outbox.write(conn, [bulk(len(said[key]), key=f"k{key}")])
                await asyncio.sleep(chance.choice((0, 0, 0, 0.02, 0.1)))
                if chance.random() < 0.2:
                    await transaction.rollback()
                else:
                    said[key].append(len(said[key]))
                    await transaction.commit()

    async with bench.service(commands_only(Recorder())):
        await asyncio.gather(*(writer(number) for number in range(8)))
        found = await bench.read(topics.DELIVERY_EVENTS, sum(map(len, said.values())))
    await owner.close()

    by_key: dict[bytes, list[int]] = {}
    for record in found:
        by_key.setdefault(record.key, []).append(orjson.loads(record.value)["n"])
    assert by_key == {f"k{key}".encode(): numbers for key, numbers in said.items() if numbers}


async def test_what_is_published_is_not_walked_through_again_while_somebody_holds_an_old_snapshot(bench: Bench) -> None:
    rows = 40_000
    before = await bench.pool.fetchval(WALKED)
    holder = await asyncpg.connect(bench.servers.urls[NAME])
    async with holder.transaction(isolation="repeatable_read"):
        await holder.fetchval("select count(*) from pg_class")
        for first in range(0, rows, 2_000):
            await write(bench, *(bulk(n, key=f"k{n}") for n in range(first, first + 2_000)))
        async with bench.service(commands_only(Recorder())):
            await bench.until("select sum(next_offset) >= $1 from said", rows)  # a look at the outbox would walk, too
    await holder.close()

    await bench.until(f"select ({WALKED}) >= $1", before + rows)  # it is told when sessions end
    assert await bench.pool.fetchval(WALKED) - before < 4 * rows


async def test_whoever_takes_a_number_has_an_id_before(bench: Bench) -> None:
    default = await bench.pool.fetchval(
        "select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 'outbox'::regclass and adnum = 1"
    )

    assert default.index("pg_current_xact_id") < default.index("nextval")


async def test_a_backlog_of_bulk_keeps_no_urgent_record_waiting(bench: Bench) -> None:
    rows = [Outgoing(topics.DELIVERY_EVENTS, b"k%d" % n, b"x" * 400) for n in range(1_000)]
    for _ in range(60):
        await write(bench, *rows)
    spent: list[float] = []
    async with bench.service(commands_only(Recorder())) as service:
        await bench.until("select count(*) < 60000 from outbox where lane = $1", BULK)
        for number in range(5):
            async with service.begin() as tx:
                tx.say(SequencePaused(**STATE | {"sequence_id": f"s{number}"}), CAUSE)
            started = monotonic()
            await bench.until("select not exists (select from outbox where lane = $1)", URGENT)
            spent.append(monotonic() - started)
        left = await bench.pool.fetchval("select count(*) from outbox where lane = $1", BULK)
        await bench.until("select not exists (select from outbox)")

    assert left > 0
    assert min(spent) < 1.0


async def test_large_rows_are_published_a_few_at_a_time(bench: Bench) -> None:
    large = [Outgoing(topics.DELIVERY_EVENTS, b"k", b"%02d" % n + b"x" * 900 * 1024) for n in range(30)]
    await write(bench, *large)
    async with bench.pool.acquire() as conn:
        some = await outbox.read(conn, BULK, limit=500, bytes_max=4 * 900 * 1024)
        one = await outbox.read(conn, BULK, limit=500, bytes_max=1)
    async with bench.service(commands_only(Recorder())):
        found = await bench.read(topics.DELIVERY_EVENTS, 30)

    assert [row.value for row in some] == [row.value for row in large[:4]]
    assert len(one) == 1
    assert [record.value for record in found] == [row.value for row in large]


async def test_the_lanes_go_on_with_another_owner_when_the_first_one_s_connections_die(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())), bench.service(commands_only(Recorder())):
        await bench.until(OWNED)
        before = {row[0] for row in await bench.pool.fetch(LOCKED)}
        admin = await asyncpg.connect(bench.servers.admin_url)
        for pid in before:
            await admin.execute("select pg_terminate_backend($1)", pid)
        await admin.close()
        await bench.send(*(command(f"s{n}", f"c{n}", reason="announce") for n in range(50)))
        answers = await bench.answers(50)
        await bench.until(OWNED)
        after = {row[0] for row in await bench.pool.fetch(LOCKED)}

    assert set(answers.values()) == {"accepted"}
    assert len(after) == 2
    assert not after & before


async def test_an_id_that_is_derived_is_repeated_by_a_replay_and_by_nothing_else(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())) as service:
        for key in ("a", "a", "b"):
            async with service.begin() as tx:
                tx.say(SequencePaused(**STATE | {"sequence_id": key}), CAUSE, number=0 if key == "a" else 1)
        found = [orjson.loads(record.value) for record in await bench.read(topics.SEQUENCES_EVENTS, 3)]

    ids = {event["data"]["sequence_id"]: event["id"] for event in found}
    assert sorted(event["id"] for event in found) == sorted([ids["a"], ids["a"], ids["b"]])
    assert ids["a"] == derive(NAME, "test", "cause", "SequencePaused.v1", "0") != ids["b"]
    assert all((e["causationid"], e["correlationid"]) == ("cause", "cause") for e in found)


async def test_a_stop_publishes_what_has_been_said(bench: Bench) -> None:
    async with bench.service(commands_only(Recorder())):
        await write(bench, *(bulk(n) for n in range(3_000)))

    assert await bench.pool.fetchval("select count(*) from outbox") == 0


async def test_what_is_said_and_the_stop_asked_while_the_relay_reads_is_published_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, read, reads = asyncio.Event(), outbox.read, 0

    async def meanwhile(*args: Any, **kwargs: Any) -> list[outbox.Queued]:
        nonlocal reads
        found = await read(*args, **kwargs)
        reads += 1
        if reads == 1:
            await write(bench, bulk(1))
            stop.set()
        return found

    monkeypatch.setattr("messaging.outbox.read", meanwhile)
    health = Health(registry=CollectorRegistry())
    await Relay(bench.pool, kafka=bench.servers.kafka, lane=BULK, health=health).run(stop)

    assert await bench.pool.fetchval("select count(*) from outbox") == 0
    assert reads > 1


async def test_a_stop_publishes_what_has_been_said_though_a_first_try_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopping = asyncio.Event(), asyncio.Event()

    class FailsAtTheStop(AIOKafkaProducer):  # type: ignore[misc] # aiokafka ships no types
        async def start(self) -> None:
            begun.set()
            if not stopping.is_set():
                await stopping.wait()
                raise KafkaError("not yet")
            await super().start()

    monkeypatch.setattr("messaging.relay.AIOKafkaProducer", FailsAtTheStop)
    pool = bench.pool
    stop = asyncio.Event()
    relay = asyncio.create_task(
        Relay(pool, kafka=bench.servers.kafka, lane=BULK, health=Health(registry=CollectorRegistry())).run(stop)
    )
    await begun.wait()
    await write(bench, bulk(1), bulk(2))
    stop.set()
    stopping.set()
    await relay

    assert await pool.fetchval("select count(*) from outbox") == 0
