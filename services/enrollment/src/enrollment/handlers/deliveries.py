"""What delivery reports of enrollments; enrollment decides what ends."""

from collections.abc import Sequence

from messaging import Batch, Message, Tx
from sluice_contracts.delivery import MessageFailed, MessageResolved, StepsFinished

from enrollment.domain.ending import Live, complete, fail
from enrollment.store import contacts, enrollments

BOUNCED = "bounced"


async def lock_reported(
    messages: Sequence[Message[StepsFinished] | Message[MessageFailed] | Message[MessageResolved]], tx: Tx
) -> None:
    """Lock the contacts, sorted: a batch ends enrollments in several steps, and so does a removal."""
    await contacts.lock(tx.conn, {message.key for message in messages})


async def on_steps_finished(reports: Batch[StepsFinished], tx: Tx) -> None:
    """Complete the enrollments whose every step is done."""
    live = await _live(reports, tx)
    decided = reports.decide(lambda report: complete(live.get(report.data.enrollment_id), now=tx.now))
    await enrollments.end(tx.conn, decided.states())
    tx.emit(decided)


async def on_message_failed(reports: Batch[MessageFailed], tx: Tx) -> None:
    """Fail the enrollments of which a message was refused for good."""
    live = await _live(reports, tx)
    decided = reports.decide(
        lambda report: fail(
            live.get(report.data.enrollment_id),
            step_id=report.data.step_id,
            code=report.data.code,
            detail=report.data.detail,
            now=tx.now,
        )
    )
    await enrollments.end(tx.conn, decided.states())
    tx.emit(decided)


async def on_message_resolved(reports: Batch[MessageResolved], tx: Tx) -> None:
    """Fail the enrollments of which an unknown message turned out not to have arrived."""
    live = await _live(reports, tx)
    decided = reports.decide(
        lambda report: fail(
            live.get(report.data.enrollment_id) if report.data.outcome == "failed" else None,
            step_id=report.data.step_id,
            code=BOUNCED,
            detail="the provider reported that it did not arrive",
            now=tx.now,
        )
    )
    await enrollments.end(tx.conn, decided.states())
    tx.emit(decided)


async def _live(
    reports: Batch[StepsFinished] | Batch[MessageFailed] | Batch[MessageResolved], tx: Tx
) -> dict[str, Live]:
    return await enrollments.live(tx.conn, [(report.key, report.data.enrollment_id) for report in reports])
