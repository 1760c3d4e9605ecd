"""What is heard of contacts: that they are there, that they are gone."""

import re
from collections.abc import Sequence

from messaging import Batch, Cause, Message, Tombstone, Tx
from sluice_contracts import topics
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.contacts import ContactState

from console.store import contacts, erasures, facts, guard
from console.store.erasures import Erasure


async def lock_contacts(records: Sequence[Message[ContactState] | Tombstone], tx: Tx) -> None:
    """A tombstone waits for everybody who writes about contacts."""
    if any(isinstance(one, Tombstone) for one in records):
        await guard.exclude(tx.conn)


async def on_contact(news: Batch[ContactState], tx: Tx) -> None:
    """Take over newer records."""
    await facts.began(tx.conn, topics.CONTACTS_EVENTS, [one.time for one in news])
    await contacts.hear(tx.conn, news)


async def on_contact_gone(gone: Sequence[Tombstone], tx: Tx) -> None:
    """Mark them, and have them erased. A key that is no id is nobody's."""
    gone = [one for one in gone if re.fullmatch(ID_PATTERN, one.key)]
    if not gone:
        return
    newly = await contacts.gone(tx.conn, [one.key for one in gone], [one.offset for one in gone])
    await erasures.start(
        tx.conn, [Erasure("contact", one.key, one.offset, cause_of(one), {}) for one in gone if one.key in newly]
    )


def cause_of(gone: Tombstone) -> Cause:
    """A tombstone is known by topic, partition and offset."""
    return Cause(source=gone.topic, id=f"{gone.partition}:{gone.offset}", type="tombstone")
