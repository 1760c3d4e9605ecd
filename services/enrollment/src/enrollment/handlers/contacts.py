"""What is heard of contacts: what they are now, and that they are gone."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from campaign.conditions import Facts
from messaging import Batch, Cause, Message, Tombstone, Tx, derive
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.contacts import ContactState
from sluice_contracts.erasure import ContactErased

from enrollment.domain.contact import forget
from enrollment.domain.ending import Live, Removal, remove
from enrollment.domain.entry import Missing
from enrollment.handlers import conditions, triggers
from enrollment.handlers.parking import refuse_removed
from enrollment.store import blocks, contacts, enrollments, parked, turned_away
from enrollment.store import conditions as store_conditions
from enrollment.store.contacts import Heard, packed


async def lock_contacts(records: Sequence[Message[ContactState] | Tombstone], tx: Tx) -> None:
    """Lock the contacts, sorted, unless the one statement that takes them over does just that.

    Where several handlers will take records over, all that they may let in is shared here, in one order.
    """
    named = {record.key for record in records if re.fullmatch(ID_PATTERN, record.key)}
    kinds = {type(record.data) if isinstance(record, Message) else Tombstone for record in records}
    if len(named) < len(records) or len(kinds) > 1 or Tombstone in kinds:
        await contacts.lock_known_or_not(tx.conn, named)
        await triggers.share_all(tx)


async def on_contact(news: Batch[ContactState], tx: Tx) -> None:
    """Take over newer records: what waited is looked at again, what they end is ended, who they let in enters."""
    newer = await contacts.hear(tx.conn, [heard(one) for one in news])
    if not newer:
        return
    await parked.wake(tx.conn, list(newer), waits_for=Missing.CONTACT)
    changed = [(one, facts_of(one, opted_out=newer[one.key])) for one in news if one.key in newer]
    await conditions.stop_changed(tx, changed)
    await triggers.enter_by_themselves(tx, changed)


async def on_contact_gone(gone: Sequence[Tombstone], tx: Tx) -> None:
    """Remove contacts everywhere, then erase them: what was decided on records before their tombstone.

    A key that is no id is nobody's.
    """
    gone = [one for one in gone if re.fullmatch(ID_PATTERN, one.key)]
    keys = [one.key for one in gone]
    if not keys:
        return
    known = await contacts.load(tx.conn, keys)
    decided = [(one, forget(known[one.key], partition=one.partition, offset=one.offset).state) for one in gone]
    newly = [one for one, state in decided if state is not None]
    await contacts.save(tx.conn, [state for _, state in decided if state is not None])
    refused = await _remove_everywhere(newly, tx)
    emptied = {one.key for one, state in decided if state and known[one.key].heard and not state.heard}
    await _erase(newly, tx, refused=refused, emptied=emptied)


async def _remove_everywhere(gone: Sequence[Tombstone], tx: Tx) -> Counter[str]:
    """End and refuse everything of these contacts; how many waiting rows of each went."""
    keys = [one.key for one in gone]
    live = await enrollments.live_of_contacts(tx.conn, keys)
    waiting = await parked.of_contacts(tx.conn, keys)
    for one in gone:
        cause = cause_of(one)
        removal = Removal(derive(cause.source, cause.id, "removal"), one.key, allow_reentry=True)
        decision = remove(removal, before(live.get(one.key, ()), one.offset), deleted=(), now=tx.now)
        for message in decision.messages:
            tx.say(message, cause)
    await refuse_removed(tx, waiting)
    return Counter(row.ask.contact_id for row in waiting)


async def _erase(gone: Sequence[Tombstone], tx: Tx, *, refused: Mapping[str, int], emptied: Collection[str]) -> None:
    """Erase all but opt-outs, and say how many rows of each table went; the contact's own row is emptied."""
    keys = [one.key for one in gone]
    by_table = {
        "enrollment": await enrollments.forget_contacts(tx.conn, keys, before=[one.offset for one in gone]),
        "block": await blocks.forget_contacts(tx.conn, keys),
        "turned_away": await turned_away.forget_contacts(tx.conn, keys),
        "condition_met": await store_conditions.forget_contacts(tx.conn, keys),
        "parked": refused,
        "contact": dict.fromkeys(emptied, 1),
    }
    for one in gone:
        rows = {table: went.get(one.key, 0) for table, went in by_table.items()}
        tx.say(ContactErased(contact_id=one.key, service="enrollment", rows=rows), cause_of(one))


def heard(message: Message[ContactState]) -> Heard:
    """What entry and conditions ask of a contact's record."""
    data = message.data
    facts = packed(data.attributes, data.tags)
    return Heard(data.contact_id, data.state_version, message.partition, message.offset, data.opted_out, facts)


def facts_of(message: Message[ContactState], *, opted_out: bool) -> Facts:
    """A record as conditions look at it; `opted_out`, whoever said so."""
    return Facts(message.data.attributes, message.data.tags, opted_out)


def before(live: Sequence[Live], offset: int) -> list[Live]:
    """Those that were decided on a contact record before that offset."""
    return [one for one in live if one.contact_offset < offset]


def cause_of(gone: Tombstone) -> Cause:
    """A tombstone is known by topic, partition and offset."""
    return Cause(source=gone.topic, id=f"{gone.partition}:{gone.offset}", type="tombstone")
