"""This service reads its own compacted topics: a stale record that lands last must not have the last word."""

import re
from collections.abc import Sequence as Rows

from messaging import Batch, Cause, Fence, Tombstone, Tx
from sluice_contracts import topics
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.sequences import SequenceState, VersionPublished

from sequences.domain.sequence import announced_again, changed
from sequences.store import echoes, sequences, versions


async def on_own_event(events: Batch[SequenceState], tx: Tx) -> None:
    """Say the current state again, or the tombstone, where an older state lands after it."""
    heard = {event.key: event.data.state_version for event in events}
    late = await echoes.late(tx.conn, heard)
    await echoes.remember(tx.conn, heard)
    await _announce(late, tx, {event.key: event.cause for event in events})


async def on_own_tombstone(tombstones: Rows[Tombstone], tx: Tx) -> None:
    """Say the current state again where a tombstone that is not ours lies over it."""
    keys = [tombstone.key for tombstone in tombstones]
    current = await sequences.load(tx.conn, keys)
    causes = {t.key: Cause(source=t.topic, id=f"{t.partition}:{t.offset}") for t in tombstones}
    await _announce([key for key in keys if key in current and not current[key].gone], tx, causes)


async def on_unreadable(fences: Rows[Fence], tx: Tx) -> None:
    """Say the state again, as a newer one, where somebody has written over it what nobody can read.

    Readers have closed what such a record names. One that says it is ours is left: saying it again would not end.
    """
    named = [fence for fence in fences if re.fullmatch(ID_PATTERN, fence.key)]
    causes = {fence.key: fence.cause for fence in named if fence.cause.source != tx.source}
    await sequences.lock(tx.conn, sorted(causes))
    current = (await sequences.load(tx.conn, sorted(causes))).values()
    newer = [changed(sequence, now=tx.now) for sequence in current if not sequence.gone]
    await sequences.save(tx.conn, newer)
    await _announce([sequence.sequence_id for sequence in current], tx, causes)


async def on_version_published(events: Batch[VersionPublished], tx: Tx) -> None:
    """Say the tombstone again where a version lands after its erasure."""
    erased = await versions.erased(tx.conn, [(event.data.sequence_id, event.data.version) for event in events])
    for event in events:
        if (event.data.sequence_id, event.data.version) in erased:
            tx.tombstone(topics.SEQUENCES_VERSIONS, event.key)


async def _announce(sequence_ids: Rows[str], tx: Tx, causes: dict[str, Cause]) -> None:
    for sequence_id, sequence in (await sequences.load(tx.conn, sequence_ids)).items():
        if sequence.gone:
            tx.tombstone(topics.SEQUENCES_EVENTS, sequence_id)
        else:
            tx.say(announced_again(sequence), causes[sequence_id], number=sequence.state_version)
