"""Erases deleted sequences, in small batches, and gives the receipt."""

from collections import Counter
from typing import Final

from messaging import Cause, Service, Tx
from sluice_contracts import topics
from sluice_contracts.erasure import SequenceErased

from delivery.domain.books import by_sequence
from delivery.handlers import doubts
from delivery.store import (
    adoption,
    books,
    definitions,
    erasures,
    gates,
    halts,
    history,
    locks,
    markers,
    pending,
    replans,
)

ROWS_MAX: Final = 5_000


class Eraser:
    """One batch a round; after a crash it goes on where it was."""

    def __init__(self, service: Service, *, rows_max: int = ROWS_MAX) -> None:
        self._service = service
        self._rows_max = rows_max

    async def go_round(self) -> bool:
        """Erase a batch; False where there is nothing to erase."""
        async with self._service.pool.acquire() as conn:
            if not await erasures.are_asked(conn):
                return False
        async with self._service.begin() as tx:
            erasure = await erasures.take(tx.conn)
            if erasure is None:
                return False
            rows = Counter(erasure.rows)
            if await _erase_batch(tx, erasure.sequence_id, rows, limit=self._rows_max):
                await erasures.count(tx.conn, erasure.sequence_id, rows)
            else:
                await _finish(tx, erasure, rows)
        return True


async def _erase_batch(tx: Tx, sequence_id: str, rows: Counter[str], *, limit: int) -> bool:
    """Erase what may be much. The queue first: who still books a result of it writes history in the same statement.

    A message that may have arrived is told to be unknown, as it is wherever nothing is tried again after all.
    """
    queued = await pending.erase(tx.conn, sequence_id, limit=limit)
    rows["pending"] += len(queued)
    if queued:
        in_doubt = [row for row in queued if row.in_doubt and not row.is_unknown]
        await doubts.leave(tx, in_doubt)
        await books.add(tx.conn, by_sequence((row.sequence_id, row.ends_as) for row in in_doubt))
        return True
    told = await history.erase(tx.conn, sequence_id, limit=limit)
    rows["message"] += told
    return told > 0


async def _finish(tx: Tx, erasure: erasures.Erasure, rows: Counter[str]) -> None:
    """Erase the rest, in one transaction with the receipt; the id alone stays, in `deleted_sequence`."""
    conn, sequence_id = tx.conn, erasure.sequence_id
    await locks.hold_books(conn)
    rows["books_delta"] += await books.erase_deltas(conn, sequence_id)
    rows["books"] += await books.erase(conn, sequence_id)
    rows["definition"] += await definitions.erase(conn, sequence_id)
    rows["ended"] += await markers.erase(conn, sequence_id)
    rows["adopted"] += await adoption.erase(conn, sequence_id)
    rows["replan"] += await replans.finish(conn, sequence_id)
    rows["sequence_halt"] += await halts.erase(conn, sequence_id)
    rows["gate_clock"] += await gates.erase_clock(conn, sequence_id)
    rows["gate"] += await gates.erase(conn, sequence_id)
    await erasures.finish(conn, sequence_id)
    tx.tombstone(topics.DELIVERY_BOOKS, sequence_id)
    if erasure.cause is not None:
        receipt = SequenceErased(sequence_id=sequence_id, service="delivery", rows=dict(rows))
        tx.say(receipt, Cause(**erasure.cause))
