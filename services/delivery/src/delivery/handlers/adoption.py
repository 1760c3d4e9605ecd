"""What delivery has said, and its database has lost: taken over from its own topics."""

from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from chassis.pool import Conn
from messaging import Message, Tombstone, Tx
from sluice_contracts.delivery import (
    DeliveryRestored,
    DeliverySuspended,
    MessageEvent,
    MessagesCounted,
    ResolveMessage,
    RestoreDelivery,
    SuspendDelivery,
)
from sluice_contracts.enrollment import EnrollmentEvent

from delivery.domain.adoption import Changes, Standing, adopt
from delivery.domain.books import UNPLANNED, by_sequence
from delivery.domain.message import UNKNOWN_WAIT_SECONDS
from delivery.domain.scope import Scope, Status
from delivery.domain.scope import adopted as adopted_scope
from delivery.store import adoption, books, locks, markers, scopes, unknown

UNKNOWN_WAIT: Final = timedelta(seconds=UNKNOWN_WAIT_SECONDS)


async def messages(said: Sequence[Message[EnrollmentEvent]], tx: Tx) -> None:
    """A step that has ended is never sent again, also where its enrollment is heard of only later."""
    await locks.hold_gates(tx.conn)
    gone = await adoption.deleted(tx.conn, {one.data.sequence_id for one in said})
    told = sorted((one.data for one in said if one.data.sequence_id not in gone), key=_enrollment)
    standings = await adoption.standings(tx.conn, [one.enrollment_id for one in told])
    known = await adoption.known(tx.conn, {one.message_id for one in told if isinstance(one, MessageEvent)})
    changes: Changes = {}
    adopted: list[Standing] = []
    for enrollment_id, found in groupby(told, key=_enrollment):
        events = list(found)
        first = events[0]
        before = standings.get(enrollment_id) or Standing(enrollment_id, first.sequence_id, first.contact_id)
        adopted.append(adopt(before, events, known, changes))
    changed = [one for one in adopted if one.changed]
    await adoption.write(tx.conn, changed, unknown_wait=UNKNOWN_WAIT)
    await adoption.rewrite(tx.conn, changes)
    await books.add(tx.conn, by_sequence((one.sequence_id, one.books) for one in changed))
    await markers.mark(tx.conn, {one.enrollment_id: (one.sequence_id, one.contact_id) for one in changed if one.over})


def _enrollment(event: EnrollmentEvent) -> str:
    return event.enrollment_id


async def catch_up(tx: Tx, entered: Mapping[str, str]) -> None:
    """Of enrollments (with their sequences) that have just got rows: what became of their messages before."""
    found = await adoption.take(tx.conn, list(entered))
    if found:
        await adoption.place(tx.conn, found, unknown_wait=UNKNOWN_WAIT)
        # One that may have arrived is in the books already, as unknown.
        doubted = [(one.sequence_id, UNPLANNED) for one in found if one.doubt is not None]
        await books.add(tx.conn, by_sequence(doubted))


async def suspensions(said: Sequence[Message[DeliverySuspended | DeliveryRestored]], tx: Tx) -> None:
    """What is suspended stays so until a higher epoch."""
    await locks.hold_gates(tx.conn)
    states = await scopes.lock(tx.conn, [one.key for one in said])
    for one in said:
        state = adopted_scope(states.get(one.key), one.data, cause=one.cause)
        states |= {} if state is None else {one.key: state}
    await scopes.save(tx.conn, list(states.values()))


async def counted(said: Sequence[Message[MessagesCounted] | Tombstone], tx: Tx) -> None:
    """Books that are told have higher numbers than those that were."""
    told = [(one.key, one.data.books_version) for one in said if isinstance(one, Message)]
    await adoption.books_told(tx.conn, told)


async def finish(tx: Tx) -> None:
    """A claim of before that nobody remembers is never taken for one of now."""
    await adoption.skip_tokens(tx.conn)


async def undone(conn: Conn, asked: Mapping[str, tuple[Message[Any], Mapping[str, Any]]]) -> Set[str]:
    """Commands without effect; and, where a restore is among them, the suspensions behind it that had taken it back."""
    known = await scopes.load(conn, lock=False)
    resolved = [message.key for message, _ in asked.values() if isinstance(message.data, ResolveMessage)]
    outcomes = await unknown.outcomes(conn, resolved) if resolved else {}
    lost: set[str] = set()
    opening: set[str] = set()
    for identity, (message, result) in asked.items():
        if isinstance(message.data, ResolveMessage):
            is_lost = outcomes.get(message.key) == "unknown"
        else:
            is_lost = _is_lost(known.get(message.key), message.data, result, opening=message.key in opening)
        if is_lost:
            lost.add(identity)
            opening |= {message.key} if isinstance(message.data, RestoreDelivery) else set()
    return lost


def _is_lost(
    scope: Scope | None, command: SuspendDelivery | RestoreDelivery, result: Mapping[str, Any], *, opening: bool
) -> bool:
    epoch = 0 if scope is None else scope.epoch
    waits = scope is not None and scope.status is Status.SUSPENDING and scope.restore is not None
    if isinstance(command, SuspendDelivery):
        return epoch < int(result.get("epoch", 0)) or opening or waits
    return epoch < int(result.get("epoch", 0)) and not waits
