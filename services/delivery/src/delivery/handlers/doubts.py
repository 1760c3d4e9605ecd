"""Messages that may have arrived, and that nobody tries again."""

from collections.abc import Sequence

from messaging import Cause, Tx
from sluice_contracts.delivery import MessageUnknown

from delivery.domain.ending import Held
from delivery.domain.message import ENROLLMENT_ENDED
from delivery.store import history


async def leave(tx: Tx, rows: Sequence[Held]) -> None:
    """Record the messages of rows whose enrollment has ended while they waited to be tried again."""
    ended = [row.ended("unknown", now=tx.now, code=ENROLLMENT_ENDED) for row in rows]
    unknown = [message for message in ended if message is not None]
    if not unknown:
        return
    await history.append(tx.conn, unknown)
    for message in unknown:
        event = MessageUnknown(
            enrollment_id=message.enrollment_id,
            contact_id=message.contact_id,
            sequence_id=message.sequence_id,
            version=message.version,
            occurred_at=tx.now,
            message_id=message.message_id,
            step_id=message.step_id,
            channel=message.channel,
            attempt=message.attempt,
            reason=ENROLLMENT_ENDED,
        )
        tx.say(event, Cause(source=tx.source, id=f"{message.message_id}:{message.attempt}"))
