"""sequences.versions: what those run under who keep an older version."""

from collections.abc import Sequence
from typing import Any

from messaging import Batch, Message, Tombstone, Tx
from sluice_contracts.definition import Definition
from sluice_contracts.sequences import VersionPublished

from delivery.store import definitions, locks


async def share_gates(_: Sequence[Message[Any] | Tombstone], tx: Tx) -> None:
    """No sequence is deleted while its versions are taken over."""
    await locks.share_gates(tx.conn)


async def on_version_published(versions: Batch[VersionPublished], tx: Tx) -> None:
    """Keep versions. Raises ValidationError for one that no sender of this release could read."""
    for version in versions:
        Definition.model_validate(version.data.definition)
    await definitions.save(tx.conn, {(v.data.sequence_id, v.data.version): v.data.definition for v in versions})


async def on_version_gone(_: Sequence[Tombstone], __: Tx) -> None:
    """Versions go when their sequence is deleted: the deletion has its own way through the tables."""
