"""Removals act at once: they end what lives, block what is named, and refuse what waits."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from messaging import Batch, Message, Tx, derive
from sluice_contracts.enrollment import RemoveContact

from enrollment.domain import sequence
from enrollment.domain.ending import Live, Removal, remove
from enrollment.domain.parking import Parked
from enrollment.domain.sequence import Status
from enrollment.handlers.parking import refuse_removed
from enrollment.store import blocks, contacts, enrollments, parked, sequences, turned_away

REMOVAL_WEIGHT: Final = 10
"""At most 100 removals in one transaction: each of them may refuse many enrolls that wait."""


async def lock_removals(messages: Sequence[Message[RemoveContact]], tx: Tx) -> None:
    """Lock the contacts, sorted, then share what may be blocked, so that no block is made on an erased sequence."""
    named = list({message.data.contact_id for message in messages})
    await contacts.lock_known_or_not(tx.conn, named)
    living = await enrollments.sequences_of_contacts(tx.conn, named)
    asked = {message.data.sequence_id for message in messages if message.data.sequence_id is not None}
    await sequences.share(tx.conn, list(asked.union(living)))


async def remove_contact(commands: Batch[RemoveContact], tx: Tx) -> None:
    """Halt everything for these contacts in the scopes that are named."""
    removals = {command.key: removal_of(command) for command in commands}
    live = await enrollments.live_of_contacts(tx.conn, list(removals))
    waiting = await parked.of_contacts(tx.conn, list(removals))
    refused = await turned_away.of_contacts(tx.conn, list(removals))
    known = await sequences.load(tx.conn, _named(removals.values(), live.values(), waiting, refused))
    deleted = [sequence_id for sequence_id, one in known.items() if one.status is Status.DELETED]

    decided = commands.decide(
        lambda command: remove(removals[command.key], live.get(command.key, ()), deleted=deleted, now=tx.now)
    )
    states = decided.states()
    await enrollments.end(tx.conn, [end for state in states for end in state.ends])
    await blocks.add(tx.conn, [block for state in states for block in state.blocks], now=tx.now)
    tx.emit(decided)
    asks = [(row, (row.ask.sequence_id, row.ask.contact_id)) for row in waiting]
    await refuse_removed(tx, [row for row, pair in asks if _refuses(removals, pair, known)])
    await turned_away.delete(tx.conn, [pair for pair in refused if _refuses(removals, pair, known)])


def _named(
    removals: Iterable[Removal],
    live: Iterable[Sequence[Live]],
    waiting: Iterable[Parked],
    refused: Iterable[tuple[str, str]],
) -> list[str]:
    """The sequences that removals may touch."""
    named = {removal.sequence_id for removal in removals if removal.sequence_id is not None}
    named.update(one.sequence_id for found in live for one in found)
    named.update(row.ask.sequence_id for row in waiting)
    named.update(sequence_id for sequence_id, _ in refused)
    return list(named)


def _refuses(removals: Mapping[str, Removal], pair: tuple[str, str], known: Mapping[str, sequence.Sequence]) -> bool:
    sequence_id, contact_id = pair
    return removals[contact_id].refuses(sequence_id, known.get(sequence_id))


def removal_of(command: Message[RemoveContact]) -> Removal:
    """What a command asks to halt; its id follows from the command's."""
    data, cause = command.data, command.cause
    return Removal(
        removal_id=derive(cause.source, cause.id, "removal"),
        contact_id=data.contact_id,
        sequence_id=data.sequence_id,
        campaign=data.campaign,
        allow_reentry=data.allow_reentry,
    )
