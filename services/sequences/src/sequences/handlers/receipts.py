"""The proofs that a stop holds, and that a deletion is done."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows

from messaging import Batch, Tx
from sluice_contracts.delivery import SequenceHalted
from sluice_contracts.enrollment import EntryClosed
from sluice_contracts.erasure import SequenceErased

from sequences.domain import lifecycle
from sequences.domain.sequence import Sequence
from sequences.handlers.erasures import complete
from sequences.store import erasures, sequences


async def on_entry_closed(receipts: Batch[EntryClosed], tx: Tx) -> None:
    """Keep enrollment's receipts; the last of a pause makes it `SequenceStopped`."""
    current = await sequences.load(tx.conn, receipts.keys())
    decided = receipts.decide(lambda m: lifecycle.entry_closed(current.get(m.key), m.data, now=tx.now))
    tx.emit(decided)
    await _save(decided.states(), tx)


async def on_sequence_halted(receipts: Batch[SequenceHalted], tx: Tx) -> None:
    """Keep delivery's receipts; the last of a pause makes it `SequenceStopped`."""
    current = await sequences.load(tx.conn, receipts.keys())
    decided = receipts.decide(lambda m: lifecycle.sequence_halted(current.get(m.key), m.data, now=tx.now))
    tx.emit(decided)
    await _save(decided.states(), tx)


async def on_sequence_erased(receipts: Batch[SequenceErased], tx: Tx, *, services: Iterable[str]) -> None:
    """Keep the receipts of an erasure; the last one completes it."""
    await erasures.add_receipts(tx.conn, [m.data for m in receipts])
    await complete(receipts.keys(), tx, services=services)


async def _save(states: Rows[Sequence], tx: Tx) -> None:
    """Save what has its receipts, and let run again what waited for them: as a consequence of who asked for that."""
    saved = []
    for state in states:
        resumed = lifecycle.complete_resume(state, now=tx.now)
        for message in resumed.messages:
            assert state.resume_asked is not None
            tx.say(message, state.resume_asked.cause)
        saved.append(resumed.state or state)
    await sequences.save(tx.conn, saved)
