"""What happened to contacts: kept as it came, whatever came before."""

from collections.abc import Sequence
from typing import Any

from messaging import Batch, Message, Tx, derive
from sluice_contracts.delivery import DeliveryRestored, DeliverySuspended, SequenceHalted
from sluice_contracts.enrollment import EntryClosed

from console.domain.fact import Change, changes_of, fact_of
from console.store import facts, guard, scopes, stops

STOPS = (EntryClosed, SequenceHalted)
SCOPES = (DeliverySuspended, DeliveryRestored)


async def lock_hearing(_: Sequence[Any], tx: Tx) -> None:
    """Nothing is marked as gone while this transaction writes."""
    await guard.share(tx.conn)


async def on_facts(heard: Batch[Any], tx: Tx) -> None:
    """Keep what was said, all of a transaction at once: a row each, and what it changes of enrollments."""
    await facts.began(tx.conn, heard[0].topic, [one.time for one in heard])
    await stops.hear(tx.conn, [one.data for one in heard if isinstance(one.data, STOPS)])
    await scopes.hear(tx.conn, [one.data for one in heard if isinstance(one.data, SCOPES)])
    about = [one for one in heard if not isinstance(one.data, (*STOPS, *SCOPES))]
    changes = changed(about)
    await facts.forget_late(tx.conn, [one for one in changes if one.enrolled_at is not None])
    await facts.keep(tx.conn, {derive(one.cause.source, one.cause.id): fact_of(one.data) for one in about})
    await facts.merge(tx.conn, changes)


def changed(heard: Sequence[Message[Any]]) -> list[Change]:
    """What these records change, together for each enrollment."""
    found: dict[str, Change] = {}
    for message in heard:
        for change in changes_of(message.data):
            known = found.get(change.enrollment_id)
            found[change.enrollment_id] = change if known is None else known.merge(change)
    return list(found.values())
