"""Messages that were to be sent again, and that their provider has after all."""

from collections.abc import Sequence

from messaging import Cause, Tx
from sluice_contracts.delivery import MessageSent

from delivery.domain.books import ARRIVED, by_sequence
from delivery.domain.report import Report
from delivery.store import books, history, pending


async def book(tx: Tx, reports: Sequence[Report]) -> None:
    """Book as sent those of these messages that wait to be sent again. The caller shares the gates.

    One that a sender holds at this moment is not among them: its report is kept, and looked at when that is over.
    """
    said = {one.message_id: one for one in reversed(reports)}
    rows = await pending.hold_tried(tx.conn, list(said))
    ended = [
        (row, row.ended("sent", now=tx.now, provider_message_id=said[message_id].provider_message_id))
        for message_id, row in rows.items()
    ]
    # One without a lane is being planned anew at this moment: its report is kept as well.
    sent = [(row, message) for row, message in ended if message is not None]
    if not sent:
        return
    await history.append(tx.conn, [message for _, message in sent])
    await pending.move_on(tx.conn, [row.enrollment_id for row, _ in sent])
    await books.add(tx.conn, by_sequence((row.sequence_id, ARRIVED) for row, _ in sent))
    for _, message in sent:
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
            due_at=message.due_at or tx.now,
            sent_at=tx.now,
            provider_message_id=message.provider_message_id,
        )
        tx.say(event, Cause(source=tx.source, id=message.message_id))
