"""The races, and what must hold of each receipt."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chassis.clock import monotonic, utc_now
from messaging import derive
from sluice_contracts.base import format_timestamp, parse_timestamp

from tests.races.arena import STEP_IDS, Arena

CONTACTS_MAX: Final = 100
REMOVERS: Final = 3
PAUSES_PER_ROUND: Final = 6
SUSPENSIONS_PER_ROUND: Final = 2
BYSTANDERS: Final = 20
SCOPE: Final = "channel:webhook"
RECEIPT_SECONDS_MAX: Final = 60.0

_OUTCOMES: Final = """
select enrollment_id::text, outcome, count(*) from message where sequence_id = $1 group by 1, 2
"""
_DROPPED: Final = """
select coalesce(sum(dropped), 0)::int, coalesce(sum(planned), 0)::int,
    coalesce(sum(pending + claimed + sent + failed + dropped + expired + unknown), 0)::int
from (
    select planned, pending, claimed, sent, failed, dropped, expired, unknown from books where sequence_id = $1
    union all
    select planned, pending, claimed, sent, failed, dropped, expired, unknown from books_delta where sequence_id = $1
) as parts
"""
_WAITING: Final = "select count(*) from pending where sequence_id = $1 and token is null"


@dataclass
class Report:
    """What was seen. `broken` holds a sentence for each promise that did not hold."""

    seconds: float = 0.0
    calls: int = 0
    stopped: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        return [
            *((name, f"{count:,}") for name, count in self.counts.items()),
            ("calls of channels", f"{self.calls:,}"),
            ("of them kept back by the check before the first byte", f"{self.stopped:,}"),
            ("promises broken", f"{len(self.broken):,}"),
            ("seconds", f"{self.seconds:.1f}"),
        ]


async def race(arena: Arena, *, removals: int) -> Report:
    """Race until so many removals are over, or a promise is broken; pauses and suspensions go on beside them."""
    report = Report()
    began = monotonic()
    async with arena.running():
        contacts = [f"c{number}" for number in range(CONTACTS_MAX)]
        await arena.introduce(contacts)
        number = 0
        while report.counts["removals"] < removals and not report.broken:
            number += 1
            left = removals - report.counts["removals"]
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_removals(arena, report, f"r{number}", contacts[: min(left, CONTACTS_MAX)]))
                    group.create_task(_pauses(arena, report, f"p{number}", contacts[:BYSTANDERS]))
                    group.create_task(_suspensions(arena, report))
            except* TimeoutError:
                report.broken.append(f"in round {number} a receipt never came")
            report.calls += len(arena.calls)
            arena.calls.clear()
    report.stopped = len(arena.stopped)
    report.seconds = monotonic() - began
    return report


# -- removals


async def _removals(arena: Arena, report: Report, sequence_id: str, contacts: Sequence[str]) -> None:
    """Everybody is removed while the senders are at them."""
    await arena.state(sequence_id)
    enrolled = await arena.enroll(sequence_id, contacts)
    waiting = random.sample(contacts, len(contacts))
    async with asyncio.timeout(RECEIPT_SECONDS_MAX + 0.2 * len(contacts)):
        await asyncio.gather(*[_remove_some(arena, sequence_id, waiting, enrolled, at) for at in range(REMOVERS)])
        receipts = {one: await arena.receipt(_removal_id(sequence_id, one)) for one in contacts}
    report.counts["removals"] += len(contacts)
    await asyncio.sleep(0.02)  # whoever would send after its receipt does it now
    await _judge(arena, report, sequence_id, enrolled, receipts)


async def _remove_some(
    arena: Arena, sequence_id: str, waiting: list[str], enrolled: Mapping[str, str], partition: int
) -> None:
    while waiting:
        contact = waiting.pop()
        removal = {
            "removal_id": _removal_id(sequence_id, contact),
            "contact_id": contact,
            "sequence_id": sequence_id,
            "enrollment_ids": [enrolled[contact]],
            "allow_reentry": False,
            "occurred_at": format_timestamp(utc_now()),
        }
        await arena.hear(("ContactRemoved", removal), partition=partition)


def _removal_id(sequence_id: str, contact: str) -> str:
    return f"removal-{sequence_id}-{contact}"


async def _judge(
    arena: Arena, report: Report, sequence_id: str, enrolled: Mapping[str, str], receipts: Mapping[str, Any]
) -> None:
    started = {call.message_id: call.started_at for call in arena.calls}
    async with arena.pool.acquire() as conn:
        ended: dict[str, Counter[str]] = {one: Counter() for one in enrolled.values()}
        for enrollment_id, outcome, count in await conn.fetch(_OUTCOMES, sequence_id):
            ended[enrollment_id][outcome] += count
        books = await conn.fetchrow(_DROPPED, sequence_id)
        assert books is not None
        dropped, planned, accounted = books
        waiting = await conn.fetchval(_WAITING, sequence_id)
    for contact, receipt in receipts.items():
        enrollment_id = enrolled[contact]
        halted_at = parse_timestamp(receipt["halted_at"])
        for step in STEP_IDS:
            at = started.get(derive(enrollment_id, step))
            if at is not None and at > halted_at:
                report.broken.append(f"{contact} in {sequence_id}: step {step} left {at - halted_at} after the receipt")
        _count(report, contact, receipt, sent=ended[enrollment_id]["sent"])
    kept_back = sum(one["dropped"] for one in ended.values())
    if dropped != kept_back + sum(receipt["dropped"] for receipt in receipts.values()):
        report.broken.append(f"{sequence_id}: the books say {dropped} dropped, the receipts and the history do not")
    if planned != accounted or waiting:
        report.broken.append(f"{sequence_id}: planned {planned}, accounted for {accounted}, still waiting {waiting}")


def _count(report: Report, contact: str, receipt: Mapping[str, Any], *, sent: int) -> None:
    """One row was there unless all was sent: it waited and was dropped, or it was in flight."""
    there = receipt["dropped"] + receipt["in_flight"]
    if receipt["in_flight"]:
        report.counts["… that met a claim"] += 1
    elif receipt["dropped"]:
        report.counts["… that met a message waiting"] += 1
    else:
        report.counts["… that came after the last message"] += 1
    if there > 1 or (there == 0 and sent < len(STEP_IDS)) or (receipt["dropped"] and sent == len(STEP_IDS)):
        report.broken.append(f"{contact}: {receipt} does not add up, {sent} were sent")


# -- pauses and suspensions


async def _pauses(arena: Arena, report: Report, sequence_id: str, contacts: Sequence[str]) -> None:
    """A sequence is paused again and again while it is being sent."""
    await arena.state(sequence_id)
    await arena.enroll(sequence_id, contacts)
    ours = {derive(derive("races", sequence_id, one), step) for one in contacts for step in STEP_IDS}
    for epoch in range(1, 2 * PAUSES_PER_ROUND, 2):
        await asyncio.sleep(random.uniform(0, 0.02))
        paused = format_timestamp(utc_now())
        await arena.state(sequence_id, "SequencePaused", status="paused", epoch=epoch, paused_at=paused)
        async with asyncio.timeout(RECEIPT_SECONDS_MAX):
            receipt = await arena.receipt(f"{sequence_id}:{epoch}")
        await asyncio.sleep(0.01)  # whoever would send after the receipt does it now
        async with arena.pool.acquire() as conn:
            waiting = await conn.fetchval(_WAITING, sequence_id)
        report.counts["pauses"] += 1
        if receipt["in_flight"]:
            report.counts["… that met claims"] += 1
        _late(arena, report, f"the pause {epoch} of {sequence_id}", receipt, lambda call: call.message_id in ours)
        if receipt["dropped"] != waiting:
            report.broken.append(f"{sequence_id}: {receipt}, but {waiting} wait")
        resumed = format_timestamp(utc_now())
        more = {"epoch": epoch + 1, "paused_at": paused, "resumed_at": resumed, "overdue": "send_now"}
        await arena.state(sequence_id, "SequenceResumed", **more)


async def _suspensions(arena: Arena, report: Report) -> None:
    """A channel is suspended while it is in use."""
    for _ in range(SUSPENSIONS_PER_ROUND):
        await asyncio.sleep(random.uniform(0.02, 0.1))
        (command,) = await arena.hear(("SuspendDelivery", {"scope": SCOPE}))
        async with asyncio.timeout(RECEIPT_SECONDS_MAX):
            epoch = (await arena.receipt(command))["epoch"]
            receipt = await arena.receipt(f"{SCOPE}:{epoch}")
        await asyncio.sleep(0.01)
        report.counts["suspensions"] += 1
        if receipt["in_flight"]:
            report.counts["… that met claims of the channel"] += 1
        _late(arena, report, f"the suspension {epoch}", receipt, lambda call: call.channel == "webhook")
        await arena.hear(("RestoreDelivery", {"scope": SCOPE}))


def _late(arena: Arena, report: Report, what: str, receipt: Mapping[str, Any], concerns: Any) -> None:
    halted_at = parse_timestamp(receipt["halted_at"])
    late = [call for call in arena.calls if call.started_at > halted_at and concerns(call)]
    if late:
        report.broken.append(f"{len(late)} left after the receipt of {what}")
