"""enrollment.control: enrollments that end by a removal or a condition."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from messaging import Batch, Fence, Message, Tx
from sluice_contracts.enrollment import ContactRemoved, EnrollmentStopped, EntryClosed

from delivery.domain.ending import Held, Removal, end, owe
from delivery.handlers import doubts
from delivery.handlers.receipts import give_contacts
from delivery.store import books, halts, locks, markers, pending

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def hold_entry(_: Sequence[Message[Any]], tx: Tx) -> None:
    """Entries under way are over before enrollments end."""
    await locks.hold_entry(tx.conn)


async def on_contact_removed(removals: Batch[ContactRemoved], tx: Tx) -> None:
    """End what a removal names, and owe its receipt, which waits for every claim in its scope."""
    held = await _hold(tx, {one: (m.data.sequence_id, m.key) for m in removals for one in m.data.enrollment_ids})
    halted = await pending.halted_of(tx.conn, removals.keys())
    rows = list({row.enrollment_id: row for row in [*halted, *held]}.values())
    by_contact: dict[str, list[Held]] = defaultdict(list)
    for row in rows:
        by_contact[row.contact_id].append(row)
    receipts = [(owe(_removal(one.data), by_contact[one.key]), one.cause.to_dict()) for one in removals]
    await _end(tx, {one for message in removals for one in message.data.enrollment_ids}, rows)
    await halts.owe_contacts(tx.conn, receipts)
    await give_contacts(tx)


async def on_enrollment_stopped(stops: Batch[EnrollmentStopped], tx: Tx) -> None:
    """End what a condition ended."""
    named = {stop.data.enrollment_id: (stop.data.sequence_id, stop.key) for stop in stops}
    await _end(tx, set(named), await _hold(tx, named))


class Unheard(Exception):
    """A record that may end enrollments, and does not say which: whoever reads on would pass over a stop."""


async def fence_ends(fences: Sequence[Fence], tx: Tx) -> None:
    """End the enrollments that a record names which could not be handled; nobody is told.

    Raises Unheard where one is not named: then the partition's heartbeat is withheld.
    """
    await locks.hold_entry(tx.conn)
    named: dict[str, tuple[str | None, str | None]] = {one: (None, None) for f in fences for one in _named(f)}
    await _end(tx, set(named), await _hold(tx, named))


async def _hold(tx: Tx, named: Mapping[str, tuple[str | None, str | None]]) -> list[Held]:
    """Mark enrollments as ended, and lock their rows."""
    await markers.mark(tx.conn, named)
    return await pending.hold(tx.conn, list(named))


async def _end(tx: Tx, enrollment_ids: Collection[str], rows: Sequence[Held]) -> None:
    ending = end(enrollment_ids, rows)
    await pending.drop(tx.conn, ending.waiting)
    await doubts.leave(tx, ending.unknown)
    await pending.halt(tx.conn, ending.halted)
    await books.add(tx.conn, ending.books)


def _removal(data: ContactRemoved) -> Removal:
    return Removal(data.removal_id, data.contact_id, frozenset(data.enrollment_ids), data.sequence_id, data.campaign)


def _named(fence: Fence) -> list[str]:
    """The enrollments of a record of which nothing else may be right."""
    if fence.cause.type == EntryClosed.TYPE:
        return []
    named = fence.data.get("enrollment_ids", [fence.data.get("enrollment_id")])
    if not isinstance(named, list):
        raise Unheard
    ids = [one for one in named if isinstance(one, str) and _UUID.fullmatch(one)]
    if len(ids) < len(named):
        raise Unheard
    return ids
