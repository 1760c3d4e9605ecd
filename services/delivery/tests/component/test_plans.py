"""What is done again and again never walks through the queue, however large and however stopped.

The planner knows nothing of the tables here (only their owner may analyze them), as after a large import.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
from delivery.store import booking, claiming, expiring, halts, lapsed, pending

pytestmark = pytest.mark.stack

World = Any
ROWS = 60_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOBODY = "00000000-0000-0000-0000-000000000000"

_GATES = """
insert into gate (sequence_id, state_version, status, open, epoch, version, change, expire_until)
select 's' || n, 1, 'active', true, 0, 1, n, timestamptz '2021-01-01' from generate_series(1, 300) n
union all select 'stopped', 1, 'paused', false, 1, 1, 0, '2021-01-01'
"""
_ROWS = """
insert into pending (enrollment_id, sequence_id, contact_id, entered_version, version, step_id, lane, due_active,
    base_active)
select gen_random_uuid(), case when n % 10 = 0 then 's' || n % 300 + 1 else 'stopped' end, 'c' || n, 1, 1, 'a',
    'email:', clock_timestamp() + case when n % 20 = 0 then interval '1 day' else '-1 day' end, clock_timestamp()
from generate_series(1, $1::integer) n
"""


def statements() -> dict[str, tuple[str, list[Any]]]:
    """Each with arguments, by name."""
    places = [f"s{number}" for number in range(1, 251)]
    ids = [NOBODY] * 250
    booked = [booking.Booking(one, "c1", 1, "sent", one, "email", LONG_AGO) for one in ids]
    return {
        "probe": (claiming._PROBE, [["email:", "webhook:", "whatsapp:"], [], []]),
        "probe of the rest": (claiming._PROBE, [["email:", "webhook:", "whatsapp:"], places, ["email:"] * 250]),
        "claim": (claiming._CLAIM, [["stopped", "s1"], ["email:"] * 2, [500, 500], 1, "tests", [None, None]]),
        "claim of many": (claiming._CLAIM, [places, ["email:"] * 250, [2] * 250, 2, "tests", [LONG_AGO] * 250]),
        "book": (booking._BOOK, [*booking.parameters(booked), [1]]),
        "owed": (halts._OWED, []),
        "settle sequences": (halts._SETTLE_SEQUENCES, [["s1"], [1]]),
        "settle contacts": (halts._SETTLE_CONTACTS, [["r"]]),
        "halted": (pending._HALTED_OF, [["c1", "c2"]]),
        "hold": (pending._HOLD, [ids]),
        "look again": (pending._LOOK_AGAIN, [[f"c{number}" for number in range(500)], ["c1"]]),
        "to plan": (pending._TO_PLAN, []),
        "unplanned": (pending._UNPLANNED, [2_000]),
        "outdated": (pending._OUTDATED, ["s1", 2, "", LONG_AGO, NOBODY, 2_000]),
        "expire": (expiring._HOLD, [2_000]),
        "erase": (pending._ERASE, ["s1", 5_000]),
        "lapsed": (lapsed._HOLD, [1]),
    }


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_no_statement_of_a_round_reads_the_queue_from_end_to_end(world: World, mode: str) -> None:
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute(_GATES)
        await conn.execute(_ROWS, ROWS)
        await conn.execute(f"set local plan_cache_mode = {mode}")
        for name, (statement, arguments) in statements().items():
            explained = await conn.prepare(f"explain (analyze, timing off) {statement}")
            plan = [row[0] for row in await explained.fetch(*arguments)]

            walks = [line for line in plan if "Seq Scan on pending" in line]
            passed_over = [int(line.split(":")[1]) for line in plan if "Rows Removed by" in line]
            assert walks == [], f"{name}: {plan}"
            assert max(passed_over, default=0) < 1_000, f"{name}: {plan}"
