"""What is heard of sequences: their states, versions and books, and that they are gone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from campaign.active_clock import Stretch, stretch_of
from messaging import Batch, Cause, Message, Tombstone, Tx
from sluice_contracts.delivery import MessagesCounted
from sluice_contracts.erasure import SequenceErased
from sluice_contracts.sequences import (
    SequenceDeleted,
    SequenceErasureCompleted,
    SequencePublished,
    SequenceState,
    VersionPublished,
)

from console.handlers.contacts import cause_of
from console.store import books, erasures, facts, guard, sequences
from console.store.erasures import Erasure
from console.store.sequences import Version


async def lock_states(records: Sequence[Message[Any] | Tombstone], tx: Tx) -> None:
    """What tells of a deletion waits for everybody who writes about sequences; all else shares."""
    if any(isinstance(one, Tombstone) or isinstance(one.data, SequenceDeleted) for one in records):
        await guard.exclude(tx.conn)
    else:
        await guard.share(tx.conn)


async def lock_gone(_: Sequence[Any], tx: Tx) -> None:
    """Whatever comes here may tell of a deletion."""
    await guard.exclude(tx.conn)


async def on_sequence(news: Batch[SequenceState], tx: Tx) -> None:
    """Take over newer states; what they say of versions and of the clock is kept."""
    await facts.began(tx.conn, news[0].topic, [one.time for one in news])
    over = [(one.key, pause, one.data.overdue) for one in news if (pause := pause_in(one.data)) is not None]
    await sequences.ran(tx.conn, over)
    await sequences.hear(tx.conn, [one.data for one in news])
    await sequences.published(tx.conn, [version for one in news if (version := version_in(one.data)) is not None])


async def on_sequence_deleted(news: Batch[SequenceDeleted], tx: Tx) -> None:
    """Mark them, and have them erased."""
    await facts.began(tx.conn, news[0].topic, [one.time for one in news])
    await sequences.hear(tx.conn, [one.data for one in news])
    await _erase([(one.key, one.data.epoch, one.cause) for one in news], tx)


async def on_sequence_gone(gone: Sequence[Tombstone], tx: Tx) -> None:
    """What was not heard to be deleted is erased all the same."""
    await _erase([(one.key, 0, cause_of(one)) for one in gone], tx)
    await sequences.drop(tx.conn, [one.key for one in gone])


async def on_version(news: Batch[VersionPublished], tx: Tx) -> None:
    """Keep versions."""
    await facts.began(tx.conn, news[0].topic, [one.time for one in news])
    versions = [Version(one.data.sequence_id, one.data.version, one.data.definition, one.time) for one in news]
    await sequences.published(tx.conn, versions)


async def on_version_gone(gone: Sequence[Tombstone], tx: Tx) -> None:
    """Forget versions: their sequence is being erased."""
    keys = [one.key.rpartition(":") for one in gone]
    await sequences.unpublished(tx.conn, [(key[0], int(key[2])) for key in keys if key[2].isdecimal()])


async def on_books(news: Batch[MessagesCounted], tx: Tx) -> None:
    """Take over newer books."""
    await facts.began(tx.conn, news[0].topic, [one.time for one in news])
    await books.hear(tx.conn, [one.data for one in news])


async def on_books_gone(gone: Sequence[Tombstone], tx: Tx) -> None:
    """Forget books."""
    await books.drop(tx.conn, [one.key for one in gone])


async def on_erased(heard: Batch[SequenceErased], tx: Tx) -> None:
    """Note who has erased a sequence. Where nothing else told of it, it is erased here too, without a receipt."""
    await facts.began(tx.conn, heard[0].topic, [one.time for one in heard])
    await _erase([(one.key, 0, None) for one in heard], tx)
    await sequences.received(tx.conn, [(one.key, one.data.service, one.data.rows, one.time) for one in heard])


async def on_erasure_completed(heard: Batch[SequenceErasureCompleted], tx: Tx) -> None:
    """All have erased them: the id is all that stays."""
    await facts.began(tx.conn, heard[0].topic, [one.time for one in heard])
    await _erase([(one.key, one.data.epoch, None) for one in heard], tx, completed=True)
    await sequences.drop_receipts(tx.conn, heard.keys())


async def _erase(gone: Sequence[tuple[str, int, Cause | None]], tx: Tx, *, completed: bool = False) -> None:
    marks = [(key, epoch, cause is not None) for key, epoch, cause in gone]
    newly = await sequences.gone(tx.conn, marks, completed=completed)
    await erasures.start(tx.conn, [Erasure("sequence", key, None, cause, {}) for key, _, cause in gone if key in newly])


def version_in(state: SequenceState) -> Version | None:
    """The version that a state carries; when it was published where the state tells of just that."""
    if state.version is None or state.published is None:
        return None
    published_at = state.updated_at if isinstance(state, SequencePublished) else None
    return Version(state.sequence_id, state.version, state.published, published_at)


def pause_in(state: SequenceState) -> Stretch | None:
    """The last pause, where it is over."""
    if state.paused_at is None or state.resumed_at is None or state.status != "active":
        return None
    return stretch_of(
        paused_at=state.paused_at,
        resumed_at=state.resumed_at,
        offset_after=timedelta(seconds=state.clock_offset_seconds),
        shifted=state.overdue in (None, "shift"),
    )
