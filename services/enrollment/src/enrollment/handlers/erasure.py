"""A deleted sequence is erased a batch at a time: whatever stops it, the next one goes on."""

from collections.abc import Sequence
from typing import Final

from messaging import Tx
from sluice_contracts.erasure import SequenceErased

from enrollment.handlers.parking import reconsider
from enrollment.store import (
    blocks,
    clock,
    conditions,
    enrollments,
    erasures,
    parked,
    pauses,
    sequences,
    turned_away,
    versions,
)
from enrollment.store.erasures import Erasure

BATCH_ROWS_MAX: Final = 1_000
BATCH_CONTACTS_MAX: Final = 1_000
ERASERS: Final = {
    "enrollment": enrollments.erase_sequence,
    "block": blocks.erase_sequence,
    "turned_away": turned_away.erase_sequence,
    "ended_pause": pauses.erase_sequence,
    "condition_met": conditions.erase_sequence,
    "version": versions.erase_sequence,
}
"""By table. Enrollments go first: what waits for a decision on one comes only while it lives."""


async def erase_some(tx: Tx) -> bool:
    """Erase one batch of one deleted sequence; whether there was any to erase."""
    erasure = await erasures.take(tx.conn)
    if erasure is None:
        return False
    waiting = await parked.of_sequence(tx.conn, erasure.sequence_id, limit=BATCH_CONTACTS_MAX)
    if waiting:
        await _refuse(tx, erasure, waiting)
        return True
    for table, erase in ERASERS.items():
        gone = await erase(tx.conn, erasure.sequence_id, limit=BATCH_ROWS_MAX)
        if gone:
            await erasures.save(tx.conn, erasure.plus(table, gone))
            return True
    await _finish(tx, erasure)
    return True


async def _refuse(tx: Tx, erasure: Erasure, contact_ids: Sequence[str]) -> None:
    """Who waits for entry is refused and answered; then the rows are gone."""
    settled = await reconsider(tx, list(set(contact_ids)))
    refused = sum(row.ask.sequence_id == erasure.sequence_id for row, _ in settled)
    await erasures.save(tx.conn, erasure.plus("parked", refused))


async def _finish(tx: Tx, erasure: Erasure) -> None:
    await sequences.exclude(tx.conn, [erasure.sequence_id])
    now = await clock.now(tx.conn)
    await erasures.remember(tx.conn, erasure, now=now)
    await erasures.delete_sequence(tx.conn, erasure.sequence_id)
    await erasures.delete(tx.conn, erasure.sequence_id)
    rows = {**dict.fromkeys(ERASERS, 0), "parked": 0, **erasure.rows, "sequence": 1}
    tx.say(SequenceErased(sequence_id=erasure.sequence_id, service="enrollment", rows=rows), erasure.cause)
