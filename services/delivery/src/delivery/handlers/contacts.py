"""contacts.events: what messages need of contacts."""

import re
from collections.abc import Sequence
from typing import Final

from messaging import Batch, Cause, Tombstone, Tx
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.contacts import ContactState
from sluice_contracts.erasure import ContactErased

from delivery.store import contacts

_ID: Final = re.compile(ID_PATTERN)


async def on_contact_state(states: Batch[ContactState], tx: Tx) -> None:
    """Take over newer states."""
    await contacts.save(tx.conn, [contacts.Heard(one.data, one.partition, one.offset) for one in states])


async def on_contact_gone(tombstones: Sequence[Tombstone], tx: Tx) -> None:
    """Forget all that is personal, and say so; enrollment ends what lives, by a removal.

    A key that is no id is nobody's.
    """
    gone = [one for one in tombstones if _ID.fullmatch(one.key)]
    erased = await contacts.erase(tx.conn, [(one.key, one.partition, one.offset) for one in gone])
    for one in gone:
        if one.key in erased:
            receipt = ContactErased(contact_id=one.key, service="delivery", rows={"contact": erased[one.key]})
            tx.say(receipt, Cause(source=one.topic, id=f"{one.partition}:{one.offset}", type="tombstone"))
