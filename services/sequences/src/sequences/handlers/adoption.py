"""What this service has said, and its database has lost: taken over from its own topics."""

from collections.abc import Mapping, Set
from collections.abc import Sequence as Rows
from typing import Any

from chassis.pool import Conn
from messaging import Cause, Message, Tombstone, Tx
from sluice_contracts.base import Message as Contract
from sluice_contracts.sequences import ResumeSequence, SequenceState, VersionPublished

from sequences.domain.adoption import adopted, cancels, is_lost
from sequences.domain.sequence import Sequence
from sequences.store import erasures, sequences, versions


async def adopt_states(said: Rows[Message[SequenceState] | Tombstone], tx: Tx) -> None:
    """Take over the last state of each sequence, or that nothing is left of it."""
    last = {one.key: one for one in said}
    await sequences.lock(tx.conn, last)
    known = await sequences.load(tx.conn, list(last))
    states: dict[str, Sequence] = {}
    for one in said:
        if isinstance(one, Message):
            state = adopted(states.get(one.key, known.get(one.key)), one.data, cause=_asked(one.cause, tx))
            states |= {} if state is None else {one.key: state}
    await sequences.save(tx.conn, list(states.values()))
    await versions.adopt(
        tx.conn,
        [
            versions.Version(one.sequence_id, one.version, one.published, one.updated_at)
            for one in states.values()
            if one.version is not None and one.published is not None
        ],
    )
    gone = [key for key, one in last.items() if isinstance(one, Tombstone)]
    await versions.forget(tx.conn, gone)
    await erasures.finish(tx.conn, gone)


async def adopt_versions(said: Rows[Message[VersionPublished] | Tombstone], tx: Tx) -> None:
    """Take over versions of sequences that are there, and that versions are erased."""
    last = {one.key: one for one in said}
    await versions.adopt(
        tx.conn,
        [
            versions.Version(one.data.sequence_id, one.data.version, one.data.definition, one.time or tx.now)
            for one in last.values()
            if isinstance(one, Message)
        ],
    )
    await versions.forget_some(tx.conn, [key for key, one in last.items() if isinstance(one, Tombstone)])


async def undone(conn: Conn, asked: Mapping[str, tuple[Message[Contract], Mapping[str, Any]]]) -> Set[str]:
    """Commands without effect; and, where a resume is among them, the pauses behind it that had cancelled it."""
    known = await sequences.load(conn, list({message.key for message, _ in asked.values()}))
    lost: set[str] = set()
    resuming = {key for key, sequence in known.items() if sequence.resume_asked is not None}
    for identity, (message, result) in asked.items():
        sequence = known.get(message.key)
        cancelled = message.key in resuming and cancels(sequence, message.data)
        if cancelled or is_lost(sequence, message.data, result):
            lost.add(identity)
        if identity in lost and isinstance(message.data, ResumeSequence):
            resuming.add(message.key)
    return lost


def _asked(cause: Cause, tx: Tx) -> Cause:
    """Who asked for what an event tells: it bears their name and what they asked, though not in which program."""
    return Cause(
        source=tx.source,
        id=cause.id,
        correlation_id=cause.correlation_id,
        actor=cause.actor,
        traceparent=cause.traceparent,
    )
