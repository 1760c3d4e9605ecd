"""Erase what this service holds of deleted sequences, and complete what all have erased."""

from collections.abc import Iterable

from messaging import Tx
from sluice_contracts import topics

from sequences.domain.erasure import completed, own_receipt
from sequences.store import erasures, sequences, versions


async def erase_some(tx: Tx, *, sequences_max: int, versions_max: int) -> bool:
    """Erase a batch of versions, and give the receipt of each sequence that has none left; whether more may be left."""
    fenced = await erasures.lock_fenced(tx.conn, limit=sequences_max)
    gone = await versions.erase(tx.conn, [erasure.sequence_id for erasure in fenced], limit=versions_max)
    await erasures.count_erased(tx.conn, gone)
    for sequence_id, version in gone:
        tx.tombstone(topics.SEQUENCES_VERSIONS, f"{sequence_id}:{version}")
    if gone:
        return True  # the receipts come with the round that finds nothing
    for erasure in fenced:
        tx.say(own_receipt(erasure), erasure.cause)
    await erasures.mark_erased(tx.conn, [erasure.sequence_id for erasure in fenced])
    return len(fenced) == sequences_max


async def complete(sequence_ids: Iterable[str], tx: Tx, *, services: Iterable[str]) -> None:
    """Say the completion, then the tombstone, of those locked sequences that all services have erased."""
    completions = await erasures.complete(tx.conn, sequence_ids, services=services)
    for completion in completions:
        tx.say(completed(completion), completion.cause)
        tx.tombstone(topics.SEQUENCES_EVENTS, completion.sequence_id)
    await erasures.finish(tx.conn, [completion.sequence_id for completion in completions])


async def complete_waiting(tx: Tx, *, after: str, sequences_max: int, services: Iterable[str]) -> str | None:
    """Look again at deletions that wait, in case fewer services are named now; where to go on, None at the end."""
    waiting = await erasures.waiting(tx.conn, after=after, limit=sequences_max)
    await sequences.lock(tx.conn, waiting)
    await complete(waiting, tx, services=services)
    return waiting[-1] if len(waiting) == sequences_max else None
