"""What contacts say themselves: that they want nothing more, or something back."""

from collections.abc import Sequence

from messaging import Batch, Message, Tx
from sluice_contracts.contacts import ContactOptedOut, ContactReplied

from enrollment.domain.ending import stop
from enrollment.handlers.conditions import decide_met
from enrollment.store import contacts, enrollments, opt_outs, parked


async def lock_activity(messages: Sequence[Message[ContactOptedOut] | Message[ContactReplied]], tx: Tx) -> None:
    """Lock the contacts, sorted."""
    await contacts.lock_known_or_not(tx.conn, {message.key for message in messages})


async def on_opted_out(said: Batch[ContactOptedOut], tx: Tx) -> None:
    """Keep that contacts want nothing more: on all channels that ends all, on one what delivery withholds for it."""
    entirely = Batch([one for one in said if one.data.channel is None])
    if entirely:
        await contacts.opt_out(tx.conn, entirely.keys())
        await parked.wake_all(tx.conn, entirely.keys())
        live = await enrollments.live_of_contacts(tx.conn, entirely.keys())
        decided = entirely.decide(lambda one: stop(live.get(one.key, ()), reason="opted_out", now=tx.now))
        await enrollments.end(tx.conn, [end for ends in decided.states() for end in ends])
        tx.emit(decided)
    of_channel = [(one.key, one.data.channel) for one in said if one.data.channel is not None]
    if of_channel:
        await opt_outs.add(tx.conn, of_channel, now=tx.now)
        await decide_met(tx, [contact_id for contact_id, _ in of_channel])


async def on_replied(said: Batch[ContactReplied], tx: Tx) -> None:
    """End what a reply ends: the sequences that ask for it, where the contact entered before it."""
    live = await enrollments.replying(tx.conn, [(one.key, one.data.occurred_at) for one in said])
    decided = said.decide(lambda one: stop(live.get(one.key, ()), reason="replied", now=tx.now))
    await enrollments.end(tx.conn, [end for ends in decided.states() for end in ends])
    tx.emit(decided)
