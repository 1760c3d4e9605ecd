"""Providers' reports: what a message came to after it was sent."""

import re
from collections.abc import Sequence
from typing import Final

from messaging import Cause, Tx
from sluice_contracts.delivery import MessageReported

from delivery.domain.report import Report
from delivery.store import history

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def on_reports(reports: Sequence[Report], tx: Tx, *, provider: str) -> int:
    """Announce reports of messages that are known; how many were. The same report again is the same event again."""
    known = await history.of_messages(tx.conn, [one.message_id for one in reports if _UUID.fullmatch(one.message_id)])
    said = [(report, known[report.message_id]) for report in reports if report.message_id in known]
    for report, message in said:
        event = MessageReported(
            enrollment_id=message.enrollment_id,
            contact_id=message.contact_id,
            sequence_id=message.sequence_id,
            version=message.version,
            occurred_at=tx.now,
            message_id=report.message_id,
            step_id=message.step_id,
            channel=message.channel,
            attempt=message.attempt,
            report=report.kind,
            provider_message_id=report.provider_message_id,
        )
        tx.say(event, Cause(source=provider, id=f"{report.message_id}:{report.kind}"))
    return len(said)
