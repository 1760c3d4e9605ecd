"""What was unknown is decided: by a provider's report, by its step's policy, or by a person."""

from dataclasses import dataclass
from typing import Final, Literal

from campaign.definition import Step
from messaging import Refused

from delivery.domain.books import PLANNED, RESOLVED, Books
from delivery.domain.message import ATTEMPTS_MAX

Outcome = Literal["sent", "failed", "retry"]
By = Literal["report", "policy", "operator"]

BY_REPORT: Final[dict[str, Outcome]] = {
    "delivered": "sent",
    "read": "sent",
    "complained": "sent",
    "bounced": "failed",
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """An unknown message, locked."""

    message_id: str
    enrollment_id: str
    sequence_id: str
    contact_id: str
    step_id: str
    version: int
    channel: str
    attempt: int
    waits: bool
    """Its enrollment lives, and goes on when it is decided."""
    step: Step | None = None
    """As it was sent; None where nothing waits for it, or its version is not here."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """How one was decided."""

    doubt: Doubt
    outcome: Outcome
    by: By

    @property
    def goes_on(self) -> bool:
        """The next step is planned, counted from now."""
        return self.doubt.waits and self.outcome == "sent"

    @property
    def books(self) -> Books:
        """What that does to the books."""
        return RESOLVED[self.outcome] + PLANNED if self.goes_on else RESOLVED[self.outcome]


def by_policy(doubt: Doubt) -> Resolution:
    """The provider has said nothing: what the step's `on_unknown` says. What was tried too often is not tried again."""
    again = doubt.step is not None and doubt.step.on_unknown == "retry" and doubt.attempt < ATTEMPTS_MAX
    return Resolution(doubt, "retry" if again else "sent", "policy")


def by_report(doubt: Doubt, kind: str) -> Resolution:
    """The provider has said what became of it."""
    return Resolution(doubt, BY_REPORT[kind], "report")


def by_operator(
    doubt: Doubt | None, ended_as: str | None, asked: Literal["sent", "retry"], *, tried: bool
) -> Resolution | None:
    """A person decides; None where it is decided so already.

    `ended_as` is what is known of one that is not unknown; one that is `tried` is to be sent again anyhow.

    Raises Refused for a message that is not here, and for one that cannot be decided so.
    """
    if doubt is None:
        if ended_as is None and not tried:
            raise Refused("not_found", "no message of this id was tried yet")
        if ended_as == asked or (tried and asked == "retry"):
            return None
        raise Refused("wrong_state", f"the message is {'to be sent again' if tried else ended_as}, not unknown")
    if asked == "retry" and not doubt.waits:
        raise Refused("wrong_state", "the enrollment has ended: nothing is sent to it any more")
    if asked == "retry" and doubt.step is None:
        raise Refused("wrong_state", "the version under which it was sent is not known here")
    return Resolution(doubt, asked, "operator")
