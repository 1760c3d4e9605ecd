"""After a pause: who was turned away in it is asked again, where the resume said so, or forgotten."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from campaign.conditions import Facts
from messaging import Cause, Tx, derive

from enrollment.domain.entry import Ask, Missing, Verdict, admit_all, give_up, not_in
from enrollment.domain.sequence import PauseOver, Status
from enrollment.handlers import entering
from enrollment.store import clock, contacts, pauses, sequences, turned_away
from enrollment.store.turned_away import TurnedAway

BATCH_CONTACTS_MAX: Final = 500


async def ask_some(tx: Tx) -> bool:
    """Ask one batch of those who were turned away in a pause that is over; whether there was any.

    Asking forgets: what is committed is not asked again, and what is not is, whatever crashes.
    """
    ended = await pauses.take(tx.conn)
    if ended is None:
        return False
    over = ended.over
    contact_ids = await turned_away.some(tx.conn, over.sequence_id, over.epoch, limit=BATCH_CONTACTS_MAX)
    if not contact_ids:
        await pauses.delete(tx.conn, over)
        return True
    await contacts.lock(tx.conn, contact_ids)
    await sequences.share(tx.conn, [over.sequence_id])
    tx.now = await clock.now(tx.conn)
    refused = await turned_away.take(tx.conn, over.sequence_id, over.epoch, contact_ids)
    if over.admit and refused:
        await _admit(tx, over, refused, ended.cause)
    return True


async def _admit(tx: Tx, over: PauseOver, refused: Sequence[TurnedAway], cause: Cause) -> None:
    """Let in who still qualifies. Where it is paused again, they wait for the end of that pause."""
    known = await sequences.load(tx.conn, [over.sequence_id])
    sequence = known.get(over.sequence_id)
    if sequence is None or sequence.status is Status.DELETED:
        return
    if sequence.status is Status.PAUSED:
        await turned_away.add(tx.conn, [one._replace(epoch=sequence.epoch) for one in refused])
        return
    facts = await contacts.facts(tx.conn, {one.contact_id for one in refused})
    asks = [_ask(one, cause) for one in refused if sequence.rules.qualifies(facts.get(one.contact_id, Facts()))]
    against = await entering.against(tx, asks, known)
    asks = not_in(asks, known, against)
    people = await contacts.load(tx.conn, {ask.contact_id for ask in asks})
    verdicts = [_now_or_never(found) for found in admit_all(asks, known, people, against)]
    await entering.keep(tx, [(ask, found, "admit") for ask, found in zip(asks, verdicts, strict=True)], known)
    for ask, found in zip(asks, verdicts, strict=True):
        entering.say(tx, ask, found, cause, via="admit", number=UUID(ask.enrollment_id).int)


def _ask(one: TurnedAway, cause: Cause) -> Ask:
    enrollment_id = derive(cause.source, cause.id, one.sequence_id, one.contact_id)
    return Ask(one.sequence_id, one.contact_id, enrollment_id, one.contact_id, 0)


def _now_or_never(verdict: Verdict) -> Verdict:
    """Nobody asked, so nobody waits."""
    return give_up(verdict, None) if isinstance(verdict, Missing) else verdict
