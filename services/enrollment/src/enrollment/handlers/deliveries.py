"""What delivery reports of enrollments; enrollment decides what ends."""

from collections.abc import Sequence
from typing import Final

from messaging import Batch, Message, Tx
from sluice_contracts.delivery import MessageFailed, MessageResolved, StepsFinished, StopConditionMet

from enrollment.domain.condition import Met
from enrollment.domain.ending import Live, complete, fail
from enrollment.handlers.conditions import decide_met
from enrollment.store import conditions, contacts, enrollments

BOUNCED: Final = "bounced"

Reports = Batch[StepsFinished] | Batch[MessageFailed] | Batch[MessageResolved] | Batch[StopConditionMet]
Report = Message[StepsFinished] | Message[MessageFailed] | Message[MessageResolved] | Message[StopConditionMet]


async def lock_reported(messages: Sequence[Report], tx: Tx) -> None:
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


async def on_stop_condition_met(reports: Batch[StopConditionMet], tx: Tx) -> None:
    """Keep what delivery saw right before a send, and decide what can be decided on it at once."""
    live = await _live(reports, tx)
    await conditions.save(tx.conn, [met_of(report) for report in reports if report.data.enrollment_id in live])
    await decide_met(tx, list({one.contact_id for one in live.values()}))


def met_of(report: Message[StopConditionMet]) -> Met:
    """What delivery saw."""
    data = report.data
    return Met(
        data.enrollment_id,
        data.contact_id,
        data.sequence_id,
        data.condition,
        data.contact_version,
        data.sequence_version,
        report.cause,
    )


async def _live(reports: Reports, tx: Tx) -> dict[str, Live]:
    named = [(report.data.sequence_id, report.key, report.data.enrollment_id) for report in reports]
    return await enrollments.live(tx.conn, named)
