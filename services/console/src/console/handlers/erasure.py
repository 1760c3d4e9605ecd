"""What is deleted is erased a batch at a time: whatever stops it, the next one goes on."""

from collections.abc import Sequence
from typing import Final

from messaging import Tx
from sluice_contracts.erasure import ContactErased, SequenceErased

from console.store import erasures
from console.store.erasures import OF_CONTACT, OF_SEQUENCE, Erasure

SERVICE: Final = "console"
BATCH_ROWS_MAX: Final = 5_000
BATCH_CONTACTS_MAX: Final = 100


async def erase_some(tx: Tx) -> bool:
    """Erase one batch of one deleted sequence, or of some contacts that are gone; whether there was any to erase."""
    sequence = await erasures.take(tx.conn, "sequence", limit=1)
    if sequence:
        await _erase_sequence(sequence[0], tx)
        return True
    contacts = await erasures.take(tx.conn, "contact", limit=BATCH_CONTACTS_MAX)
    if contacts:
        await _erase_contacts(contacts, tx)
        return True
    return await erasures.forget(tx.conn, limit=BATCH_ROWS_MAX) == BATCH_ROWS_MAX


async def _erase_sequence(erasure: Erasure, tx: Tx) -> None:
    left = BATCH_ROWS_MAX
    for table in OF_SEQUENCE:
        gone = await erasures.of_sequence(tx.conn, table, erasure.id, limit=left)
        erasure = erasure.plus(table, gone)
        left -= gone
        if left <= 0:
            await erasures.save(tx.conn, [erasure])
            return
    await erasures.finish(tx.conn, [erasure])
    if erasure.cause is not None:
        tx.say(SequenceErased(sequence_id=erasure.id, service=SERVICE, rows=dict(erasure.rows)), erasure.cause)


async def _erase_contacts(found: Sequence[Erasure], tx: Tx) -> None:
    left = BATCH_ROWS_MAX
    for table in OF_CONTACT:
        gone = await erasures.of_contacts(tx.conn, table, found, limit=left)
        found = [one.plus(table, gone.get(one.id, 0)) for one in found]
        left -= sum(gone.values())
        if left <= 0:
            await erasures.save(tx.conn, found)
            return
    await erasures.finish(tx.conn, found)
    for one in found:
        if one.cause is not None:
            tx.say(ContactErased(contact_id=one.id, service=SERVICE, rows=dict(one.rows)), one.cause)
