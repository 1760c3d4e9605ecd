"""What is heard of versions: the rules of those that somebody may still be under."""

import re
from collections.abc import Sequence

from messaging import Batch, Message, Tombstone, Tx
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.sequences import VersionPublished

from enrollment.domain.sequence import Status
from enrollment.store import sequences, versions
from enrollment.store.versions import Version


async def lock_versions(records: Sequence[Message[VersionPublished] | Tombstone], tx: Tx) -> None:
    """Share the sequences, so that no version is kept of one that is erased."""
    named = {one[0] for record in records if (one := version_of(record.key)) is not None}
    await sequences.share(tx.conn, list(named))


async def on_version(published: Batch[VersionPublished], tx: Tx) -> None:
    """Keep the rules of versions; of a deleted sequence nothing is kept."""
    known = await sequences.load(tx.conn, list({one.data.sequence_id for one in published}))
    deleted = {sequence_id for sequence_id, one in known.items() if one.status is Status.DELETED}
    news = [Version(one.data.sequence_id, one.data.version, one.data.definition) for one in published]
    await versions.save(tx.conn, [one for one in news if one.sequence_id not in deleted])


async def on_version_gone(gone: Sequence[Tombstone], tx: Tx) -> None:
    """Forget versions that are gone; a key that is no version's is nobody's."""
    await versions.delete(tx.conn, [one for record in gone if (one := version_of(record.key)) is not None])


def version_of(key: str) -> tuple[str, int] | None:
    """The sequence and version that a key names."""
    sequence_id, _, version = key.rpartition(":")
    if re.fullmatch(ID_PATTERN, sequence_id) is None or re.fullmatch(r"[0-9]{1,18}", version) is None:
        return None
    return sequence_id, int(version)
