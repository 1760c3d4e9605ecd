"""What happens at its time."""

from collections.abc import Sequence as Rows

from messaging import Cause, Tx

from sequences.domain import lifecycle
from sequences.domain.sequence import ResumeTimer, Sequence
from sequences.store import sequences


async def resume_due(sequence_ids: Rows[str], tx: Tx) -> None:
    """Resume those of these sequences whose time has come, unless somebody did something else before the lock."""
    await sequences.lock(tx.conn, sequence_ids)
    tx.now = await sequences.clock(tx.conn)
    current = await sequences.load(tx.conn, sequence_ids)
    running = []
    for sequence in current.values():
        decision = lifecycle.resume_by_itself(sequence, now=tx.now)
        if decision.state is not None and sequence.resume_timer is not None:
            running.append(decision.state)
            for message in decision.messages:
                tx.say(message, _cause(sequence, sequence.resume_timer, tx))
    await sequences.save(tx.conn, running)


def _cause(sequence: Sequence, timer: ResumeTimer, tx: Tx) -> Cause:
    """The row and its epoch, on behalf of who asked for the pause to end."""
    return Cause(
        source=tx.source,
        id=f"{sequence.sequence_id}:{sequence.epoch}",
        correlation_id=timer.cause.correlation_id or timer.cause.id,
        actor=timer.cause.actor,
        traceparent=timer.cause.traceparent,
    )
