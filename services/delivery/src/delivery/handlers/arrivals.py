"""Messages that were to be sent again, and that their provider has after all."""

from collections.abc import Sequence

from messaging import Cause, Tx
from sluice_contracts.delivery import MessageSent

from delivery.domain.books import ARRIVED, by_sequence
from delivery.domain.ending import Held
from delivery.domain.report import Report
from delivery.store import books, history, pending


async def book(tx: Tx, reports: Sequence[Report]) -> None:
    """Book as sent those of these messages that wait to be sent again. The caller shares the gates.

    One that a sender holds at this moment is not among them: its report is kept, and looked at when that is over.
    """
    rows = await pending.hold_tried(tx.conn, [one.message_id for one in reports])
    if not rows:
        return
    said = {one.message_id: one for one in reversed(reports)}
    sent = [_message(row, said[message_id], tx) for message_id, row in rows.items()]
    await history.append(tx.conn, sent)
    await pending.move_on(tx.conn, [row.enrollment_id for row in rows.values()])
    await books.add(tx.conn, by_sequence((row.sequence_id, ARRIVED) for row in rows.values()))
    for message in sent:
        event = MessageSent(
            enrollment_id=message.enrollment_id,
            contact_id=message.contact_id,
            sequence_id=message.sequence_id,
            version=message.version,
            occurred_at=tx.now,
            message_id=message.message_id,
            step_id=message.step_id,
            channel=message.channel,
            attempt=message.attempt,
            due_at=message.due_at,
            sent_at=tx.now,
            provider_message_id=message.provider_message_id,
        )
        tx.say(event, Cause(source=tx.source, id=message.message_id))


def _message(row: Held, report: Report, tx: Tx) -> history.Ended:
    assert row.step_id is not None
    assert row.version is not None
    assert row.lane is not None
    return history.Ended(
        message_id=report.message_id,
        enrollment_id=row.enrollment_id,
        sequence_id=row.sequence_id,
        contact_id=row.contact_id,
        step_id=row.step_id,
        version=row.version,
        channel=row.lane.partition(":")[0],
        outcome="sent",
        code=None,
        attempt=row.attempt,
        due_at=row.due_at or tx.now,
        ended_at=tx.now,
        provider_message_id=report.provider_message_id,
    )
