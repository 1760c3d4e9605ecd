"""enrollment.events: enrollments that begin."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from chassis.pool import Conn
from messaging import Batch, Message, Tx
from sluice_contracts.enrollment import ContactEnrolled

from delivery.domain.books import PLANNED
from delivery.domain.entry import Known, enter
from delivery.handlers.adoption import catch_up
from delivery.store import books, definitions, gates, locks, pending


async def share_gates_and_entry(_: Sequence[Message[Any]], tx: Tx) -> None:
    """No gate changes and no enrollment ends while some are put into the queue."""
    await locks.share_gates(tx.conn)
    await locks.share_entry(tx.conn)


async def on_contact_enrolled(enrolled: Batch[ContactEnrolled], tx: Tx) -> None:
    """Plan the first message of each; one whose end was heard before, or whose sequence is deleted, never enters."""
    known = await load_known(tx.conn, {(message.data.sequence_id, message.data.version) for message in enrolled})
    entries = [enter(message.data, known) for message in enrolled]
    entered = await pending.enter(tx.conn, entries)
    await books.add(tx.conn, {one: PLANNED * count for one, count in Counter(entered.values()).items()})
    await catch_up(tx, entered)


async def load_known(
    conn: Conn, entered: Iterable[tuple[str, int]], *, versions: Iterable[tuple[str, int]] = ()
) -> Known:
    """Gates, past pauses, and definitions: the versions that were entered, what those run under now, and `versions`.

    Under the shared gate lock it stays true.
    """
    entries = set(entered)
    wanted = sorted({sequence_id for sequence_id, _ in entries})
    known = await gates.load(conn, wanted)
    effective = [
        (sequence_id, version)
        for sequence_id, entered_version in entries
        if sequence_id in known and (version := known[sequence_id].effective(entered_version)) is not None
    ]
    return Known(
        known, await gates.pauses(conn, wanted), await definitions.load(conn, [*entries, *effective, *versions])
    )
