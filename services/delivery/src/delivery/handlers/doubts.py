"""Messages that may have arrived, and that nobody tries again."""

from collections.abc import Sequence

from messaging import Cause, Tx
from sluice_contracts.delivery import MessageUnknown

from delivery.domain.ending import Held
from delivery.domain.message import ENROLLMENT_ENDED, message_id_of
from delivery.store import history


async def leave(tx: Tx, rows: Sequence[Held]) -> None:
    """Record the messages of rows whose enrollment has ended while they waited to be tried again."""
    unknown = [message for row in rows if (message := _message(row, tx)) is not None]
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


def _message(row: Held, tx: Tx) -> history.Ended | None:
    if row.step_id is None or row.version is None or row.lane is None:
        return None
    return history.Ended(
        message_id=message_id_of(row.enrollment_id, row.step_id),
        enrollment_id=row.enrollment_id,
        sequence_id=row.sequence_id,
        contact_id=row.contact_id,
        step_id=row.step_id,
        version=row.version,
        channel=row.lane.partition(":")[0],
        outcome="unknown",
        code=ENROLLMENT_ENDED,
        attempt=row.attempt,
        due_at=row.due_at or tx.now,
        ended_at=tx.now,
    )
