"""contacts.events and contacts.activity: what messages need of contacts."""

import re
from collections.abc import Sequence
from typing import Final

from messaging import Batch, Cause, Tombstone, Tx
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.contacts import ContactOptedOut, ContactState
from sluice_contracts.erasure import ContactErased

from delivery.domain.look import EVERY_CHANNEL
from delivery.store import contacts, pending

_ID: Final = re.compile(ID_PATTERN)


async def on_contact_state(states: Batch[ContactState], tx: Tx) -> None:
    """Take over newer states, and have looked at again what is held of them."""
    newer = await contacts.save(tx.conn, [contacts.Heard(one.data, one.partition, one.offset) for one in states])
    if newer:
        await pending.look_again(tx.conn, list(newer), moved=[one for one, moved in newer.items() if moved])


async def on_contact_opted_out(opted_out: Batch[ContactOptedOut], tx: Tx) -> None:
    """From now on their messages are withheld, on that channel or on all."""
    await contacts.opt_out(tx.conn, [(one.key, one.data.channel or EVERY_CHANNEL) for one in opted_out])


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
