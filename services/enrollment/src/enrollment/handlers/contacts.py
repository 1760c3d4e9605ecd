"""What is heard of contacts: that they are there, that they want nothing more, that they are gone."""

import re
from collections.abc import Sequence

from messaging import Batch, Cause, Message, Tombstone, Tx, derive
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.contacts import ContactOptedOut, ContactState
from sluice_contracts.erasure import ContactErased

from enrollment.domain.contact import forget
from enrollment.domain.ending import Live, Removal, remove, stop
from enrollment.domain.entry import Missing
from enrollment.handlers.parking import refuse_removed
from enrollment.store import blocks, clock, contacts, enrollments, parked
from enrollment.store.contacts import Heard


async def lock_contacts(records: Sequence[Message[ContactState] | Tombstone], tx: Tx) -> None:
    """Lock the contacts, sorted, unless the one statement that takes them over does just that."""
    named = {record.key for record in records if re.fullmatch(ID_PATTERN, record.key)}
    kinds = {type(record.data) if isinstance(record, Message) else Tombstone for record in records}
    if len(named) < len(records) or len(kinds) > 1 or Tombstone in kinds:
        await contacts.lock_known_or_not(tx.conn, named)


async def on_contact(news: Batch[ContactState], tx: Tx) -> None:
    """Take over newer records; who waited for a contact is looked at again, who has opted out is stopped."""
    newer = await contacts.hear(tx.conn, [heard(one) for one in news])
    await parked.wake(tx.conn, list(newer), waits_for=Missing.CONTACT)
    opted_out = {contact_id for contact_id, has in newer.items() if has}
    if opted_out:
        tx.now = await clock.now(tx.conn)  # the rows were locked by `hear`: what it waited for may have entered since
        await _stop(Batch([one for one in news if one.key in opted_out]), tx)


async def lock_activity(messages: Sequence[Message[ContactOptedOut]], tx: Tx) -> None:
    """Lock the contacts, sorted; one channel alone is not our business."""
    await contacts.lock_known_or_not(tx.conn, {message.key for message in messages if message.data.channel is None})


async def on_opted_out(said: Batch[ContactOptedOut], tx: Tx) -> None:
    """Keep that contacts want nothing more, and stop what lives. One channel alone is delivery's business."""
    entirely = Batch([one for one in said if one.data.channel is None])
    if entirely:
        await contacts.opt_out(tx.conn, entirely.keys())
        await _stop(entirely, tx)


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
    await _remove_everywhere(newly, tx)
    await _erase(newly, tx)


async def _stop(messages: Batch[ContactState] | Batch[ContactOptedOut], tx: Tx) -> None:
    live = await enrollments.live_of_contacts(tx.conn, messages.keys())
    decided = messages.decide(lambda one: stop(live.get(one.key, ()), reason="opted_out", now=tx.now))
    await enrollments.end(tx.conn, [end for ends in decided.states() for end in ends])
    tx.emit(decided)


async def _remove_everywhere(gone: Sequence[Tombstone], tx: Tx) -> None:
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


async def _erase(gone: Sequence[Tombstone], tx: Tx) -> None:
    keys = [one.key for one in gone]
    entered = await enrollments.forget_contacts(tx.conn, keys, before=[one.offset for one in gone])
    blocked = await blocks.forget_contacts(tx.conn, keys)
    for one in gone:
        rows = {"enrollment": entered.get(one.key, 0), "block": blocked.get(one.key, 0)}
        tx.say(ContactErased(contact_id=one.key, service="enrollment", rows=rows), cause_of(one))


def heard(message: Message[ContactState]) -> Heard:
    """What entry asks of a contact's record."""
    data = message.data
    return Heard(data.contact_id, data.state_version, message.partition, message.offset, data.opted_out)


def before(live: Sequence[Live], offset: int) -> list[Live]:
    """Those that were decided on a contact record before that offset."""
    return [one for one in live if one.contact_offset < offset]


def cause_of(gone: Tombstone) -> Cause:
    """A tombstone is known by topic, partition and offset."""
    return Cause(source=gone.topic, id=f"{gone.partition}:{gone.offset}", type="tombstone")
