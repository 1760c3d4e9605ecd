"""What was counted of each promise: (what, counted, whether it holds). Nothing here asks a service."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import aiohttp
from devstack.stack import Stack
from sluice_contracts.base import parse_timestamp

from testkit.demo import script
from testkit.demo.observer import Arrival, Observer

ON_TIME_SECONDS: Final = 1.0
ON_TIME_PART_MIN: Final = 0.98
DELAYS: Final = {
    "tips": timedelta(seconds=script.FIRST_DELAY_SECONDS),
    "crm": timedelta(seconds=script.SECOND_DELAY_SECONDS),
    "thanks": timedelta(seconds=script.THANKS_DELAY_SECONDS),
}
ENDS: Final = ("pending", "claimed", "sent", "failed", "dropped", "expired", "unknown")

_SENDS: Final = re.compile(r'^sluice_sends_total\{.*ending="sent".*\} ([0-9.e+]+)$', re.MULTILINE)


class Proof(NamedTuple):
    """One line of the table."""

    what: str
    counted: str
    holds: bool


class Pair(NamedTuple):
    """Two messages of one contact that follow each other, as they arrived."""

    step_id: str
    before: Arrival
    ended_at: datetime
    """When the first of the two was booked: what the delay of the second counts from."""
    after: Arrival
    due_at: datetime
    attempt: int


def taken(seen: Observer) -> list[Arrival]:
    """Arrivals that the receiver took: no repeat that it recognised."""
    return [arrival for arrival in seen.arrivals if not arrival.duplicate]


def terminal_events(seen: Observer) -> Proof:
    """I5."""
    arrived = {arrival.message_id for arrival in seen.arrivals}
    without = sum(seen.terminal[message_id] != 1 for message_id in arrived)
    never = sum(message_id not in arrived for message_id in seen.sent)
    ends = f"{len(seen.sent):,} sent, {len(seen.unknown):,} unknown, {len(seen.failed):,} failed"
    return Proof(
        "Every message that arrived ended in exactly one booked way",
        f"{len(arrived):,} arrived; booked: {ends}",
        bool(arrived) and not without and not never,
    )


def repeats(seen: Observer) -> Proof:
    """I3."""
    counts = Counter(arrival.message_id for arrival in taken(seen))
    twice = sum(count > 1 for count in counts.values())
    recognised = len(seen.arrivals) - len(taken(seen))
    return Proof(
        "Nobody gets a message twice",
        f"{twice} of {len(counts):,}" + (f"; {recognised} repeats that the key gave away" if recognised else ""),
        twice == 0,
    )


def order(seen: Observer) -> Proof:
    """I4."""
    pairs = list(_pairs(seen))
    early = sum(pair.after.at - pair.before.at < DELAYS[pair.step_id] for pair in pairs)
    return Proof("In order, and never before it is due", f"{early} early of {len(pairs):,}", bool(pairs) and not early)


def remaining_delays(seen: Observer, *, paused_at: datetime, resumed_at: datetime) -> Proof:
    """I7: whoever waited while it was paused waits as long as before, plus the pause."""
    stood = resumed_at - paused_at
    waited = [pair for pair in _pairs(seen) if pair.ended_at < paused_at and pair.after.at > resumed_at]
    early = sum(pair.after.at - pair.before.at - stood < DELAYS[pair.step_id] for pair in waited)
    first = [pair for pair in waited if pair.attempt == 1]  # a later attempt is due when it is tried again
    off = sorted(abs((p.due_at - p.ended_at - stood - DELAYS[p.step_id]).total_seconds()) for p in first)
    on_time = sum(seconds < ON_TIME_SECONDS for seconds in off)
    typical = f"{1000 * off[len(off) // 2]:.0f} ms" if off else "–"
    return Proof(
        "After the resume each remaining delay is what it was",
        f"{len(waited):,} waited through the pause, {early} came early, "
        f"{on_time / max(1, len(off)):.1%} due within {ON_TIME_SECONDS:.0f} s, the median within {typical}",
        bool(off) and not early and on_time >= ON_TIME_PART_MIN * len(off),
    )


def removal(seen: Observer, *, contact_id: str, halted_at: datetime) -> Proof:
    """I2, for one contact."""
    address = f"{contact_id}@"
    messages = {event["message_id"] for event in seen.by_contact[contact_id].values()}
    later = sum(
        arrival.at > halted_at and (arrival.message_id in messages or arrival.to.startswith(address))
        for arrival in seen.arrivals
    )
    return Proof("After its removal nothing leaves for the contact", f"{later} arrivals later", later == 0)


def editions(seen: Observer, *, edited_at: datetime, count: int) -> Proof:
    """Who had not been sent the webhook when the second edition came gets that one, and the e-mail after it."""
    hooks = Counter(arrival.to for arrival in taken(seen) if arrival.channel == "webhook")
    first, second = hooks[script.FIRST_HOOK], hooks[script.SECOND_HOOK]
    too_soon = sum(a.to == script.SECOND_HOOK and a.at < edited_at for a in seen.arrivals)
    newer = {a.message_id for a in taken(seen) if a.to == script.SECOND_HOOK}
    went_on = [steps for steps in seen.by_contact.values() if "crm" in steps and steps["crm"]["message_id"] in newer]
    with_thanks = sum("thanks" in steps for steps in went_on)
    in_doubt = sum(
        seen.by_contact[contact].get("crm", {}).get("message_id") in seen.unknown for contact in seen.by_contact
    )
    return Proof(
        "An edit reaches those inside, once, and nobody who is through",
        f"webhook: {first:,} the first edition, {second:,} the second; {with_thanks:,} of these the new e-mail",
        0 <= count - first - second <= in_doubt and not too_soon and with_thanks == len(went_on) > 0,
    )


def closed_books(seen: Observer, sequence_id: str) -> Proof:
    """The books close, and say what the outside saw."""
    books = seen.books[sequence_id]
    told = ", ".join(f"{books[end]:,} {end}" for end in ENDS if books[end])
    counted = (len(seen.sent), len(seen.unknown), len(seen.failed))
    return Proof(
        "The books close: planned = all ends",
        f"{books['planned']:,} = {told}",
        _closes(books) and (books["sent"], books["unknown"], books["failed"]) == counted,
    )


def books_are_told(seen: Observer, sequence_id: str) -> bool:
    """Whether the last word of the books is out: nothing is pending or claimed, and every end that was seen is in."""
    books = seen.books.get(sequence_id)
    ended = len(seen.sent) + len(seen.unknown) + len(seen.failed)
    return (
        books is not None
        and not books["pending"] + books["claimed"]
        and books["sent"] + books["unknown"] + books["failed"] >= ended
    )


async def shares(stack: Stack) -> dict[str, int]:
    """How many messages each sender has sent since it was started, from its own metrics."""
    found: dict[str, int] = {}
    async with aiohttp.ClientSession() as session:
        for process in stack.processes():
            if process.name.startswith("sender-"):
                async with session.get(f"http://127.0.0.1:{process.port}/metrics") as answer:
                    found[process.name] = int(sum(float(count) for count in _SENDS.findall(await answer.text())))
    return found


def _closes(books: dict[str, int]) -> bool:
    return books["planned"] == sum(books[end] for end in ENDS)


def _pairs(seen: Observer) -> Iterator[Pair]:
    first: dict[str, Arrival] = {}
    for arrival in seen.arrivals:
        first.setdefault(arrival.message_id, arrival)
    for steps in seen.by_contact.values():
        before: tuple[Arrival, datetime] | None = None
        for step_id in script.STEPS:
            event = steps.get(step_id, {})
            came = first.get(event.get("message_id", ""))
            if before is not None and came is not None and "due_at" in event:
                yield Pair(step_id, *before, came, parse_timestamp(event["due_at"]), event["attempt"])
            before = None if came is None else (came, parse_timestamp(event["occurred_at"]))
