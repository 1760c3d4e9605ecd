"""sequences.events: gates are opened and closed by the state that each record carries, whatever its type."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from messaging import Batch, Cause, Fence, Message, Tombstone, Tx
from sluice_contracts.base import ID_PATTERN
from sluice_contracts.sequences import SequenceState

from delivery.domain import gate as rules
from delivery.domain.books import NOTHING, RESUMED
from delivery.domain.gate import Change
from delivery.handlers.receipts import give_sequences
from delivery.store import books, definitions, gates, halts, locks, replans

Caused = tuple[Change, Cause | None]

_ID: Final = re.compile(ID_PATTERN)


async def hold_gates(_: Sequence[Message[Any] | Tombstone], tx: Tx) -> None:
    """Claims and entries that rely on a gate are over before one changes."""
    await locks.hold_gates(tx.conn)


async def on_sequence_state(states: Batch[SequenceState], tx: Tx) -> None:
    """Take over what is newer than what is known; what is deleted stays so."""
    known = await gates.load(tx.conn, states.keys())
    gone = await gates.gone(tx.conn, states.keys())
    changes = [
        (change, message.cause)
        for message in states
        if message.key not in gone and (change := rules.follow(known.get(message.key), message.data)) is not None
    ]
    await _apply(tx, changes, buried=[change.gate.sequence_id for change, _ in changes if change.erases])


async def on_sequence_gone(tombstones: Sequence[Tombstone], tx: Tx) -> None:
    """The key is gone: whatever is still here of it is stopped and erased, and nothing late brings it back."""
    named = [tombstone.key for tombstone in tombstones if _ID.fullmatch(tombstone.key)]
    gone = await gates.gone(tx.conn, named)
    keys = [key for key in named if key not in gone]
    known = await gates.load(tx.conn, keys)
    changes: list[Caused] = [
        (change, None) for key in keys if (change := rules.bury(known.get(key), sequence_id=key)) is not None
    ]
    await _apply(tx, changes, buried=keys)


async def fence_sequences(fences: Sequence[Fence], tx: Tx) -> None:
    """Close the gates of records that could not be handled."""
    await locks.hold_gates(tx.conn)
    keys = [fence.key for fence in fences if _ID.fullmatch(fence.key)]
    known = await gates.load(tx.conn, keys)
    gone = await gates.gone(tx.conn, keys)
    changes = [
        (
            rules.fence(
                known.get(fence.key),
                sequence_id=fence.key,
                state_version=fence.state_version,
                status=fence.status,
                epoch=fence.epoch,
            ),
            fence.cause,
        )
        for fence in fences
        if _ID.fullmatch(fence.key) and fence.key not in gone
    ]
    await _apply(tx, changes)


async def _apply(tx: Tx, changes: Sequence[Caused], *, buried: Sequence[str] = ()) -> None:
    """Save changed gates and all that follows from them; what can be receipted at once is."""
    if buried:
        await gates.bury(tx.conn, buried)
    if not changes:
        return
    await gates.save(tx.conn, [change.gate for change, _ in changes])
    await gates.remember(tx.conn, [(c.gate.sequence_id, c.pause) for c, _ in changes if c.pause is not None])
    await definitions.save(tx.conn, _definitions(changes))
    await replans.ask(tx.conn, _followed(changes))
    turned = [change for change, _ in changes if change.resumes or change.halts]
    if not turned:  # senders wait meanwhile
        return
    counted = await books.read(tx.conn, [change.gate.sequence_id for change in turned])
    await books.add(
        tx.conn,
        {
            change.gate.sequence_id: RESUMED * counted[change.gate.sequence_id].pending if change.resumes else NOTHING
            for change in turned
        },
    )
    halted = [_owed(change, counted, cause) for change, cause in changes if change.halts]
    if halted:
        await halts.owe_sequences(tx.conn, halted)
        await give_sequences(tx)


def _definitions(changes: Sequence[Caused]) -> dict[tuple[str, int], Mapping[str, Any]]:
    return {
        (change.gate.sequence_id, change.gate.version): change.definition
        for change, _ in changes
        if change.definition is not None and change.gate.version is not None
    }


def _followed(changes: Sequence[Caused]) -> dict[str, int]:
    return {
        change.gate.sequence_id: change.gate.followed
        for change, _ in changes
        if change.replans and change.gate.followed is not None
    }


def _owed(change: Change, counted: Mapping[str, Any], cause: Cause | None) -> halts.SequenceHalt:
    sequence_books = counted[change.gate.sequence_id]
    return halts.SequenceHalt(
        sequence_id=change.gate.sequence_id,
        epoch=change.gate.epoch,
        in_flight=sequence_books.claimed,
        erases=change.erases,
        cause=None if cause is None else cause.to_dict(),
    )
