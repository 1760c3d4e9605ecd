"""What ends an enrollment early: conditions on the contact, a reply, an opt-out; decided with what enrollment knows."""

from dataclasses import dataclass
from enum import StrEnum

from campaign.conditions import Facts
from campaign.rules import Rules
from messaging import Cause
from sluice_contracts.enrollment import StopReason

from enrollment.domain.contact import Contact
from enrollment.domain.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Met:
    """What delivery saw right before a send, and the versions of contact and sequence that it looked at."""

    enrollment_id: str
    contact_id: str
    sequence_id: str
    condition: StopReason
    contact_version: int
    sequence_version: int
    cause: Cause


class Weighed(StrEnum):
    """What becomes of a report that ends nothing."""

    WAIT = "wait"
    """Enrollment does not know yet what delivery saw."""
    LET_BE = "let_be"
    """Newer data say otherwise; delivery looks again at each newer version."""


def weigh(
    met: Met, contact: Contact, sequence: Sequence | None, rules: Rules | None, facts: Facts, *, channels: bool
) -> StopReason | Weighed:
    """Decide on delivery's report with our own data; `rules` are those that the enrollment is under, None: not heard.

    `channels`: the contact has opted out of some channel. Delivery's report says that it is the one in question; but
    the opt-out itself comes on another topic, and is waited for.
    """
    if contact.state_version is None or contact.state_version < met.contact_version:
        return Weighed.WAIT
    if sequence is None or sequence.version is None or sequence.version < met.sequence_version or rules is None:
        return Weighed.WAIT
    found = rules.stop_when.met(facts)
    if found is not None:
        return found
    if met.condition != "opted_out" or contact.state_version > met.contact_version:
        return Weighed.LET_BE
    return "opted_out" if channels else Weighed.WAIT
