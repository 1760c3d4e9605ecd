"""R16: what five faults leave behind: throughput after them beside before, and messages that are lost."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any, Final

from chassis.clock import sleep
from devstack.stack import Stack
from rich.console import Console
from sluice import Sluice
from sluice_contracts import topics
from testkit.breaking import SETTINGS

from benchmarks import breaking, counting, filling, workload
from benchmarks.arena import BenchmarkFailed, database, scale, until
from benchmarks.figures import Figure, Measured, Round, ratio

SERVICES: Final = True
ENV: Final = SETTINGS
MESSAGES: Final = 30_000
IN_PEACE: Final = 3
"""Batches before and as many after; the middle one of them counts. One alone may be a third faster than the next."""
SECONDS_MAX: Final = 300.0
FIGURES: Final = (
    Figure("R16", "throughput after five faults ÷ before", 0.95, 1.0),
    Figure("R16b", "messages lost in them", 0, 0, "less"),
)
DEFINITION: Final[dict[str, Any]] = {
    "name": "Benchmark",
    "steps": [
        {
            "step_id": workload.FIRST_STEP,
            "after": "0s",
            "message": {"channel": "webhook", "url": "https://crm.example/hook", "json": {"id": "{{ contact.id }}"}},
        }
    ],
}
LANE: Final = "webhook:"
"""A key is honoured there: what a killed sender had in hand is sent again, and not assumed to be sent."""

_ALL_SENT: Final = "select count(distinct message_id) from delivery.message where outcome = 'sent'"


async def measure(stack: Stack, console: Console, rounds: int) -> list[Measured]:
    """Each round: batches in peace, one in each scene, batches in peace; every batch until it is sent and published."""
    measured: list[Round] = []
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that Kafka is away is what is asked for
    batches = 0
    await scale(stack, len(breaking.SENDERS))
    async with Sluice(stack.addresses.kafka) as sluice:

        async def batch(what: str, fault: Callable[[], Awaitable[object]] | None = None) -> float:
            nonlocal batches
            rate = await _batch(stack, sluice, f"bench-{batches}", fault)
            batches += 1
            console.print(f"  R16: {rate:,.0f} messages/s, {what}")
            return rate

        async def peaceful() -> float:
            return median([await batch("nothing broken") for _ in range(IN_PEACE)])

        await batch("to warm up")
        for _ in range(rounds):
            before = await peaceful()
            for scene, fault in breaking.SCENES.items():
                await batch(scene, partial(fault, stack))
            measured.append(ratio(await peaceful(), before))
        published = await counting.records_of(sluice, topics.DELIVERY_EVENTS, "MessageSent.v1")
    async with database(stack) as conn:
        sent = int(await conn.fetchval(_ALL_SENT))
    planned = batches * MESSAGES
    lost = planned - min(sent, published)
    console.print(f"  R16b: {planned:,} planned, {sent:,} in the history, {published:,} published")
    settings = {
        "messages": MESSAGES,
        "batches in peace, before and after": IN_PEACE,
        "senders": len(breaking.SENDERS),
        "scenes": list(breaking.SCENES),
    }
    return [
        Measured(FIGURES[0], measured, "messages a second", settings),
        Measured(FIGURES[1], [Round(lost, sent, planned)], "messages sent, planned", settings),
    ]


async def _batch(
    stack: Stack, sluice: Sluice, sequence_id: str, fault: Callable[[], Awaitable[object]] | None
) -> float:
    """Messages a second from the resume until all is published; `fault` strikes when a third of them is sent.

    Who has booked first may have done so at the expense of those who publish: all of the work is counted. Where some of
    it never comes about, the wait for that counts too.
    """
    async with database(stack) as conn:
        await workload.publish(sluice, conn, sequence_id, DEFINITION)
        await sluice.pause(sequence_id, wait="stopped")
        await filling.by_insert(conn, {sequence_id: MESSAGES}, console=Console(quiet=True), lane=LANE)
        await filling.settle(conn)
        resumed_at = await conn.fetchval("select clock_timestamp()")
        await sluice.resume(sequence_id)
        if fault is not None:
            await workload.until_sent(conn, sequence_id, MESSAGES // 3)
    if fault is not None:
        await fault()
        await sleep(breaking.REST_SECONDS)  # who was killed is no longer called ready
        await breaking.ready(stack)
    async with database(stack) as conn:

        async def published() -> bool:
            return await counting.unpublished(conn) == 0

        with suppress(BenchmarkFailed):  # what is missing after all is counted at the end: it is a figure
            await workload.until_sent(conn, sequence_id, MESSAGES)
            await until("everything is published", published, seconds_max=SECONDS_MAX)
        ended_at = await conn.fetchval("select clock_timestamp()")
    return MESSAGES / float((ended_at - resumed_at).total_seconds())
