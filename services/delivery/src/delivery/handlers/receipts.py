"""The two receipts of delivery, said in the transaction that takes them off what is owed."""

from collections.abc import Sequence

from messaging import Cause, Tx
from sluice_contracts.delivery import ContactHalted, SequenceHalted

from delivery.store import books, erasures, halts


async def give_sequences(tx: Tx, *, lapsed: Sequence[tuple[str, int]] = ()) -> int:
    """Give the receipts of sequences that have halted, and begin to erase those that are deleted; how many.

    What is dropped is counted now: a send that had already left may have planned the step after it meanwhile.
    """
    halted = await halts.settle_sequences(tx.conn, lapsed=lapsed)
    if not halted:
        return 0
    counted = await books.read(tx.conn, [one.halt.sequence_id for one in halted])
    erased = [one.halt for one in halted if one.halt.erases]
    if erased:
        await erasures.begin(tx.conn, erased)
    for one in halted:
        if one.halt.cause is not None:
            receipt = SequenceHalted(
                sequence_id=one.halt.sequence_id,
                epoch=one.halt.epoch,
                dropped=counted[one.halt.sequence_id].pending,
                in_flight=one.halt.in_flight,
                halted_at=one.halted_at,
            )
            tx.say(receipt, Cause(**one.halt.cause))
    return len(halted)


async def give_contacts(tx: Tx, *, lapsed: Sequence[str] = ()) -> int:
    """Give the receipts of removals that hold; how many."""
    halted = await halts.settle_contacts(tx.conn, lapsed=lapsed)
    for one in halted:
        receipt = ContactHalted(
            removal_id=one.removal_id,
            contact_id=one.contact_id,
            enrollment_ids=list(one.enrollment_ids),
            dropped=one.dropped,
            in_flight=one.in_flight,
            halted_at=one.halted_at,
        )
        tx.say(receipt, Cause(**one.cause))
    return len(halted)
