"""What happened, in words."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from console.domain.fact import Fact

VIA: Final = {
    "command": "a command asked for it",
    "import": "an import named it",
    "trigger": "a change of the contact triggered it",
    "admit": "it was let in when the sequence was resumed",
}
REFUSALS: Final = {
    "sequence_paused": ("paused", "the sequence was paused"),
    "sequence_not_active": ("refused", "the sequence was not published"),
    "already_enrolled": ("already_in", "it is or was in this sequence already"),
    "removed": ("removed", "it had been removed, which blocks entry"),
    "opted_out": ("opted_out", "it has opted out"),
    "contact_unknown": ("refused", "no contact with this id was known"),
    "not_found": ("refused", "no sequence with this id was known"),
    "deleted": ("deleted", "the sequence was deleted"),
}
"""By the refusal's code: the code of the answer, and why."""


def when(moment: datetime) -> str:
    """A time in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def what(fact: Fact) -> str:
    """What happened."""
    detail, step = fact.detail, f"`{fact.step_id}`"
    said: Mapping[str, str] = {
        "enrolled": f"entered, version {detail.get('version')}",
        "refused": "was not let in",
        "completed": "completed: every step is done",
        "undeliverable": "ended: a message could not be delivered",
        "stopped": f"ended by a stop condition: {detail.get('reason')}",
        "removed": "removed",
        "halted": f"the removal holds: {detail.get('dropped')} dropped, {detail.get('in_flight')} were on their way",
        "sent": f"{step} was sent by {detail.get('channel')}",
        "failed": f"{step} was refused for good",
        "expired": f"{step} expired and is not sent",
        "unknown": f"{step}: its provider may or may not have it",
        "delivered": f"{step} was delivered",
        "read": f"{step} was read",
        "bounced": f"{step} bounced",
        "complained": f"{step} was complained about",
        "resolved_sent": f"{step} counts as sent",
        "resolved_failed": f"{step} counts as failed",
        "resolved_retry": f"{step} is sent again",
        "condition": "the next message was kept back",
        "finished": "the last step is done",
        "replied": f"replied by {detail.get('channel')}",
        "opted_out": f"opted out of {detail.get('channel', 'everything')}",
    }
    return said[fact.kind]


def cause(fact: Fact) -> str:
    """Why it happened, as far as its record tells."""
    detail: Mapping[str, Any] = fact.detail
    match fact.kind:
        case "enrolled":
            return VIA.get(detail.get("via", ""), "unknown")
        case "refused":
            return REFUSALS.get(detail.get("code", ""), ("", str(detail.get("code"))))[1]
        case "removed":
            return "its campaign was named" if "campaign" in detail else "a removal asked for it"
        case "undeliverable" | "failed":
            return f"{detail.get('code')}: {detail.get('detail')}"
        case "expired":
            skipped = "a resume skipped what had become due meanwhile"
            return skipped if detail.get("reason") == "skip" else "it was later than the resume allowed"
        case "unknown":
            return str(detail.get("reason"))
        case "resolved_sent" | "resolved_failed" | "resolved_retry":
            return f"decided by {detail.get('by')}"
        case "condition":
            return f"{detail.get('condition')}, by version {detail.get('contact_version')} of the contact"
        case "sent":
            return "its delay was over" if "due_at" not in detail else f"it was due at {detail['due_at']}"
        case "delivered" | "read" | "bounced" | "complained":
            return "the provider reported it"
        case "stopped":
            return str(detail.get("reason"))
        case "completed" | "finished":
            return "no step was left"
        case "halted":
            return "every send that had left was waited for"
        case _:
            return "the contact said so"
