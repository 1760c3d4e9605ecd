"""contacts.events: what messages need of contacts."""

from collections.abc import Sequence

from messaging import Batch, Tombstone, Tx
from sluice_contracts.contacts import ContactState

from delivery.store import contacts


async def on_contact_state(states: Batch[ContactState], tx: Tx) -> None:
    """Take over newer states."""
    await contacts.save(tx.conn, [contacts.Heard(one.data, one.partition, one.offset) for one in states])


async def on_contact_gone(tombstones: Sequence[Tombstone], tx: Tx) -> None:
    """Forget all that is personal; enrollment ends what lives, by a removal."""
    await contacts.erase(tx.conn, [(one.key, one.partition, one.offset) for one in tombstones])
