"""Unknown messages are decided: saved, booked and told."""

import re
from collections.abc import Sequence
from typing import Final

from messaging import Batch, Cause, Decision, Message, Tx
from sluice_contracts.delivery import MessageResolved, ResolveMessage

from delivery.domain.books import by_sequence
from delivery.domain.resolution import Resolution, by_operator
from delivery.store import books, pending, unknown

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def resolve_message(commands: Batch[ResolveMessage], tx: Tx) -> None:
    """Decide as a person asks: it counts as sent, or is sent again under its id."""
    named = [one.key for one in commands if _UUID.fullmatch(one.key)]
    held = await unknown.hold(tx.conn, named)
    outcomes = await unknown.outcomes(tx.conn, named)
    tried = await pending.tried(tx.conn, named) - outcomes.keys()

    def decide(command: Message[ResolveMessage]) -> Decision[Resolution]:
        asked = command.data.outcome
        resolution = by_operator(held.get(command.key), outcomes.get(command.key), asked, tried=command.key in tried)
        told = () if resolution is None else (event(resolution, tx),)
        return Decision(resolution, told, result={"outcome": asked})

    decided = commands.decide(decide)
    await settle(tx, decided.states())
    tx.emit(decided)


async def settle(tx: Tx, resolutions: Sequence[Resolution]) -> None:
    """Save and book; who decided tells."""
    if not resolutions:
        return
    await unknown.settle(tx.conn, resolutions)
    await books.add(tx.conn, by_sequence((one.doubt.sequence_id, one.books) for one in resolutions))


def tell(tx: Tx, resolutions: Sequence[Resolution]) -> None:
    """Tell decisions that no command asked for. One that is sent again may be unknown again."""
    for one in resolutions:
        cause_id = f"{one.doubt.message_id}:{one.doubt.attempt}:{one.outcome}"
        tx.say(event(one, tx), Cause(source=tx.source, id=cause_id))


def event(resolution: Resolution, tx: Tx) -> MessageResolved:
    """What everyone is told."""
    doubt = resolution.doubt
    return MessageResolved(
        enrollment_id=doubt.enrollment_id,
        contact_id=doubt.contact_id,
        sequence_id=doubt.sequence_id,
        version=doubt.version,
        occurred_at=tx.now,
        message_id=doubt.message_id,
        step_id=doubt.step_id,
        channel=doubt.channel,
        attempt=doubt.attempt,
        outcome=resolution.outcome,
        by=resolution.by,
    )
