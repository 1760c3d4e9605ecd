"""Contacts that enter by themselves: a newer record of theirs is of the kind that a sequence waits for."""

from collections.abc import Mapping
from typing import Final

from campaign.conditions import Facts
from campaign.rules import Rules
from messaging import Message, Tx, derive
from sluice_contracts.contacts import ContactCreated, ContactState

from enrollment.domain import sequence
from enrollment.domain.entry import Ask, Missing, admit_all, not_in
from enrollment.handlers import entering
from enrollment.handlers.conditions import Changed
from enrollment.store import clock, contacts, sequences

ENTRIES_MAX: Final = 5_000
"""A transaction decides on no more entries; where a single contact enters more sequences, on those of one contact."""


class TooMuch(Exception):
    """More entries than a transaction takes: its records are halved."""


async def share_all(tx: Tx) -> None:
    """Hold the entry of all sequences that contacts enter by themselves, before any handler does it for some."""
    waiting = await sequences.triggered(tx.conn)
    if waiting:
        await sequences.share(tx.conn, list(waiting))


async def enter_by_themselves(tx: Tx, changed: Changed) -> None:
    """Let contacts into the sequences that wait for such a change of them; their rows are locked.

    Who is in already is passed over. Whoever else is kept out is told of, as who asks with a command. Raises TooMuch
    where several contacts would enter too many.
    """
    waiting = await sequences.triggered(tx.conn)
    wanted = _wanted(waiting, changed)
    if not wanted:
        return
    await sequences.share(tx.conn, list(wanted))
    tx.now = await clock.now(tx.conn)
    known = await sequences.load(tx.conn, list(wanted))
    causes = {message.key: message.cause for message, _ in changed}
    asks = [ask for message, facts in changed for ask in _asks(message, facts, known)]
    against = await entering.against(tx, asks, known)
    asks = not_in(asks, known, against)
    people = await contacts.load(tx.conn, {ask.contact_id for ask in asks})
    verdicts = admit_all(asks, known, people, against)
    decided = [(ask, found) for ask, found in zip(asks, verdicts, strict=True) if not isinstance(found, Missing)]
    await entering.keep(tx, [(ask, found, "trigger") for ask, found in decided], known)
    for ask, found in decided:
        entering.say(tx, ask, found, causes[ask.contact_id], via="trigger", number=ask.position)


def _wanted(waiting: Mapping[str, Rules], changed: Changed) -> set[str]:
    wanted: set[str] = set()
    entries = 0
    for message, facts in changed:
        pulling = [one for one, rules in waiting.items() if pulls(rules, message, facts)]
        wanted.update(pulling)
        entries += len(pulling)
        if entries > ENTRIES_MAX and len(changed) > 1:
            raise TooMuch
    return wanted


def pulls(rules: Rules, message: Message[ContactState], facts: Facts) -> bool:
    """Whether a sequence with these rules lets a contact in on this record."""
    kind = "created" if isinstance(message.data, ContactCreated) else "updated"
    return kind in rules.triggers and rules.qualifies(facts)


def _asks(message: Message[ContactState], facts: Facts, known: Mapping[str, sequence.Sequence]) -> list[Ask]:
    cause, contact_id = message.cause, message.key
    pulling = [sequence_id for sequence_id in sorted(known) if pulls(known[sequence_id].rules, message, facts)]
    return [
        Ask(sequence_id, contact_id, derive(cause.source, cause.id, sequence_id, contact_id), contact_id, position)
        for position, sequence_id in enumerate(pulling)
    ]
